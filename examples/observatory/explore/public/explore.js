import { ask, element, fill, showEnvironment } from "./services.js";

function duration(seconds) {
  return seconds >= 5400 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.max(1, Math.round(seconds / 60))} min`;
}

async function programs() {
  const rows = (await ask("odb", "/programs")).map((program) => element("tr", {},
    element("td", {}, program.title, element("small", {}, program.id)),
    element("td", { class: "roomy" }, program.investigator),
    element("td", { class: "number" }, program.observations),
    element("td", { class: "number" }, program.pending ? "calculating" : duration(program.total_s))));
  return element("table", {},
    element("thead", {}, element("tr", {}, element("th", {}, "Program"), element("th", { class: "roomy" }, "Investigator"),
      element("th", { class: "number" }, "Observations"), element("th", { class: "number" }, "Time"))),
    element("tbody", {}, ...rows));
}

async function signIn() {
  const { user } = await ask("sso", "/api/v1/sessions", { method: "POST", body: { user: "guest" } });
  return `Signed in as ${user.name}`;
}

async function exposure(form) {
  const result = await ask("itc", `/exposure?${new URLSearchParams(new FormData(form))}`);
  return [element("p", { class: "big" }, `${result.exposures} × ${result.exposure_s} s`),
    element("p", { class: "quiet" }, `${duration(result.total_s)} on source with ${result.instrument}`)];
}

const form = document.querySelector("#calculator");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  fill("#exposure", () => exposure(form));
});

showEnvironment(["sso", "itc", "odb"]);
fill("#user", signIn);
fill("#programs", programs);
fill("#calculator select", async () =>
  (await ask("itc", "/instruments")).instruments.map((name) => element("option", {}, name)),
).then(() => fill("#exposure", () => exposure(form)));
