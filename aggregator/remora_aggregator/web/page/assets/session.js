// One session: what it used, by model, and its last calls.

import { ask } from "./api.js";
import { ROW_FIELDS, callList } from "./call_rows.js";
import { equals } from "./conditions.js";
import { h, text } from "./dom.js";
import { link } from "./router.js";
import { nothing, shown } from "./states.js";
import { budgetsSeen } from "./budgets.js";
import { usageTable, usageTiles } from "./usage_figures.js";

const CALLS = 50;

/** Show a session. */
export function session({ main, heading, steps, params, signal }) {
  const [id] = steps;
  const namespace = params.get("namespace") ?? "";
  heading.replaceChildren(text(id, { whole: true }));
  const place = h("div", { class: "stack" });
  const actions = h(
    "div",
    { class: "actions" },
    h("a", { class: "button", href: link(["calls"], { where: conditions(id, namespace) }) }, "All its calls"),
    h(
      "a",
      { class: "button", href: link(["usage"], { where: conditions(id, namespace) }) },
      "Its usage over time",
    ),
  );
  main.replaceChildren(
    h(
      "p",
      { class: "crumb" },
      h("a", { href: "#/sessions" }, "Sessions"),
      namespace ? [" / ", text(namespace)] : null,
    ),
    h("div", { class: "head" }, heading, actions),
    place,
  );

  const load = () =>
    shown(place, signal, async () => {
      const filter = { session_id: id, namespace };
      const [sums, page] = await Promise.all([
        ask("/v1/usage", { ...filter, group_by: "model,provider" }, { signal }),
        ask("/v1/records", { ...filter, fields: `${ROW_FIELDS},receipt.budgets`, limit: CALLS }, { signal }),
      ]);
      if (sums.rows.length === 0)
        return nothing("No such session.", "Nobody called in it, or its calls are no longer kept.");
      return [
        usageTiles(sums.rows),
        budgetsSeen(page.records[0], "session"),
        h(
          "section",
          { class: "panel" },
          h("h2", {}, "By model"),
          usageTable(sums.rows, ["model", "provider"]),
        ),
        h(
          "section",
          {},
          h("div", { class: "head" }, h("h2", {}, "Last calls")),
          callList("Last calls of the session", page.records),
        ),
      ];
    });
  load();
  return load;
}

function conditions(id, namespace) {
  return [equals("session_id", id), ...(namespace ? [equals("namespace", namespace)] : [])];
}
