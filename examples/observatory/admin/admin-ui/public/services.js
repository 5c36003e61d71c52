// Where the services are, told from this page's own address: the same files work in every
// environment, so the version that was tried in staging is the one that goes to production.

const ENVIRONMENTS = { dev: "dev", stage: "staging", prod: "production" };
const APPS = { sso: "lucuma-sso", itc: "itc", odb: "lucuma-postgres-odb", resource: "lucuma-resource" };

/** The site's name: the first part of its host (explore-gemini-dev.…), or of a path /_sites/NAME/. */
export function siteName(location) {
  const path = location.pathname.match(/^\/_sites\/([^/]+)/);
  return path ? path[1] : location.hostname.split(".")[0];
}

/** liftlock's name of the environment that this site belongs to. */
export function environmentOf(location) {
  const name = siteName(location).match(/-(dev|stage|prod)$/);
  return name ? ENVIRONMENTS[name[1]] : "dev";
}

/** The base address of a service, without a slash at its end. */
export function addressOf(service, location) {
  const app = `${APPS[service]}-${environmentOf(location)}`;
  const local = location.hostname === "127.0.0.1" || location.hostname.endsWith("localhost");
  // A sandbox serves every app below one port; Heroku gives each a host of its own.
  return local ? `http://127.0.0.1:${location.port}/_apps/${app}` : `https://${app}.herokuapp.com`;
}

/** The JSON that a service answers. Throws an Error with the service's own words. */
export async function ask(service, path, { method = "GET", body, token } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(addressOf(service, window.location) + path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error || `${service} answered ${answer.status}`);
  return content;
}

/** An element with attributes, text and children, without ever reading text as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => child.nodeType ? child : String(child)));
  return made;
}

/** Fill a part of the page when its data comes; while it is away, say so there and nowhere else. */
export async function fill(selector, load) {
  const place = document.querySelector(selector);
  try {
    place.replaceChildren(...[await load()].flat());
  } catch (error) {
    place.replaceChildren(element("p", { class: "away", role: "alert" }, error.message));
  }
}

/** Show which environment this is, and which versions answer, in the page's header. */
export function showEnvironment(services) {
  const environment = environmentOf(window.location);
  document.documentElement.dataset.environment = environment;
  document.querySelector("#environment").textContent = environment;
  fill("#versions", () => Promise.all(services.map(async (service) => {
    const who = await ask(service, "/").catch(() => null);
    return element("span", { class: who ? "version" : "version down" }, `${service} ${who ? who.version : "does not answer"}`);
  })));
}
