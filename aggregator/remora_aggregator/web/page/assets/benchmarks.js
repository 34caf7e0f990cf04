// Benchmarks: what models were measured to do, on the work that they were given.

import { ask } from "./api.js";
import { h, text } from "./dom.js";
import { spanChoice } from "./filters.js";
import { count, few, percent, seconds, usd } from "./format.js";
import { change } from "./router.js";
import { rateBar } from "./score_figures.js";
import { nothing, shown } from "./states.js";
import { table } from "./table.js";

const SINCE = "7d";

/** Show what models do. */
export function benchmarks({ main, heading, params, signal }) {
  const goal = h("input", { type: "search", "aria-label": "Goal", placeholder: "goal", spellcheck: "false" });
  const find = (event) => {
    event.preventDefault();
    change({ goal: goal.value.trim() });
  };
  const choices = h("span", { class: "filters" });
  const place = h("div", { class: "stack" });
  main.replaceChildren(
    h("div", { class: "head" }, heading),
    h(
      "div",
      { class: "filters", role: "search", "aria-label": "Filters" },
      choices,
      h("form", { onsubmit: find }, goal, h("button", { type: "submit" }, "Find")),
    ),
    place,
  );
  function load(now) {
    goal.value = now.get("goal") ?? "";
    choices.replaceChildren(spanChoice(now, SINCE, { all: false }));
    return shown(place, signal, async () => {
      const filter = { goal: now.get("goal") ?? "", since: now.get("since") ?? SINCE };
      const found = await ask("/v1/benchmarks", filter, { signal });
      if (found.benchmarks.length) return table("Models", HEADS, found.benchmarks.map(row));
      return nothing("No model was called in this time.", "Look further back, or at another goal.");
    });
  }
  load(params);
  return load;
}

const HEADS = [
  ["Model", ""],
  ["Good answers", ""],
  ["Calls", "num"],
  ["Failed", "num mid"],
  ["Latency, p50", "num"],
  ["p95", "num mid"],
  ["First byte, p50", "num wide"],
  ["Tokens out a second", "num mid"],
  ["Cost of a call", "num"],
];

function row(one) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, text(one.model), h("span", { class: "under" }, one.provider)),
    h("td", {}, rateBar(one.acceptance, one.interval, one.model)),
    h("td", { class: "num" }, count(one.calls)),
    h("td", { class: "num mid" }, percent(one.errors, one.calls)),
    h("td", { class: "num" }, seconds(one.latency_p50_s)),
    h("td", { class: "num mid" }, seconds(one.latency_p95_s)),
    h("td", { class: "num wide" }, seconds(one.ttft_p50_s)),
    h("td", { class: "num mid" }, few(one.output_tokens_per_s)),
    h("td", { class: "num" }, usd(one.mean_cost_usd)),
  );
}
