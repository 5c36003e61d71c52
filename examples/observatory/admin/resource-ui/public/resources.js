import { ask, element, fill, showEnvironment } from "./services.js";

function card(telescope) {
  const rows = telescope.instruments.map((instrument) => element("tr", {},
    element("td", {}, instrument.name, element("small", {}, instrument.kind)),
    element("td", { class: "number" }, element("span", { class: `status ${instrument.status}` }, instrument.status))));
  return element("section", {},
    element("h2", {}, telescope.name),
    element("p", { class: "quiet" }, `${telescope.site}, ${telescope.aperture_m} m`),
    element("table", {}, element("tbody", {}, ...rows)));
}

showEnvironment(["resource"]);
fill("#telescopes", async () => (await ask("resource", "/telescopes")).map(card));
