"use strict";
// Draws each chart into its place, and unfolds the page while it is printed.
(() => {
  const { forms, charts } = JSON.parse(document.getElementById("charts").textContent);
  // The interpreter (ast) needs no eval, which the page's policy forbids.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: false };
  const drawn = [...document.querySelectorAll("[data-chart]")].map((place) => {
    const { form, rows, values } = charts[Number(place.dataset.chart)];
    const params = (forms[form].params ?? []).map((param) => ({ ...param, value: values[param.name] ?? param.value }));
    return vegaEmbed(place, { ...forms[form], params, datasets: { rows } }, options);
  });
  Promise.all(drawn).then(() => document.documentElement.classList.add("drawn"));

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .data)")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
