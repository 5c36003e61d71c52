import { addressOf, ask, element, fill, showEnvironment } from "./services.js";

const SERVICES = ["sso", "itc", "odb", "resource"];

function count(number, words) {
  return [element("p", { class: "big" }, number), element("p", { class: "quiet" }, words)];
}

async function row(service) {
  const [who, health] = await Promise.all([ask(service, "/"), ask(service, "/health")].map((asked) => asked.catch((error) => error)));
  const well = !(health instanceof Error);
  return element("tr", {},
    element("td", {}, service.toUpperCase(), element("small", {}, addressOf(service, window.location))),
    element("td", { class: "roomy" }, who instanceof Error ? "" : `${who.version} as ${who.process}`),
    element("td", { class: "number" }, element("span", { class: well ? "status up" : "status down" }, well ? "healthy" : health.message)));
}

showEnvironment(SERVICES);
const odb = ask("odb", "/counts");
fill("#programs", async () => { const c = await odb; return count(c.programs, `schema ${c.schema}`); });
fill("#observations", async () => { const c = await odb; return count(c.science + c.calibrations, `${c.calibrations} of them calibrations, ${c.pending} pending`); });
fill("#users", async () => { const c = await ask("sso", "/api/v1/counts"); return count(c.users, c.sessions === 1 ? "1 session" : `${c.sessions} sessions`); });
fill("#services", async () => element("table", {}, element("tbody", {}, ...await Promise.all(SERVICES.map(row)))));
