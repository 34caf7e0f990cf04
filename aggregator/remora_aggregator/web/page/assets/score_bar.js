// What scores are asked for: over which time, of which namespace.

import { h } from "./dom.js";
import { choice } from "./filters.js";
import { change } from "./router.js";

const WINDOWS = [
  ["1h", "Last hour"],
  ["1d", "Last day"],
  ["7d", "Last 7 days"],
  ["30d", "Last 30 days"],
  ["90d", "Last 90 days"],
];

export const WINDOW = "7d";

/** The namespace that is looked at. */
export const namespaceOf = (params, who) => params.get("namespace") ?? who.namespace ?? "";

/** Choose the time, and the namespace where there are several. */
export function scoreBar(who) {
  const choices = h("span", { class: "filters" });
  const name = h("input", {
    type: "text",
    "aria-label": "Namespace",
    placeholder: "namespace",
    spellcheck: "false",
  });
  const find = (event) => {
    event.preventDefault();
    change({ namespace: name.value.trim() });
  };
  const hasOne = who.namespaces?.length === 1;
  const form = hasOne
    ? null
    : h("form", { onsubmit: find }, name, h("button", { type: "submit" }, "Show"));
  return {
    element: h("div", { class: "filters", role: "search", "aria-label": "Filters" }, choices, form),
    /** Show what the address says. */
    sync(params) {
      name.value = namespaceOf(params, who);
      const held = document.activeElement?.name === "window";
      choices.replaceChildren(choice("window", "Time", WINDOWS, params, WINDOW));
      if (held) choices.querySelector("select").focus();
    },
  };
}
