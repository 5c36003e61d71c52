// Calls one method of GitHub's own client: node github.mjs repos.createDeployment '{"owner": …}'.
// Prints the answer's data as JSON; a refusal ends with its status and message.
import { pathToFileURL } from "node:url";

const [name, parameters] = process.argv.slice(2);
const [group, method] = name.split(".");
const entry = `${process.env.CLIENTS}/node_modules/@octokit/rest/dist-src/index.js`;
const { Octokit } = await import(pathToFileURL(entry).href);
const octokit = new Octokit({ auth: "user-workflow", baseUrl: process.env.GITHUB_API_URL });
try {
  const { data } = await octokit.rest[group][method](JSON.parse(parameters));
  console.log(JSON.stringify(data ?? null));
} catch (error) {
  console.error(`${error.status}: ${error.message}`);
  process.exit(1);
}
