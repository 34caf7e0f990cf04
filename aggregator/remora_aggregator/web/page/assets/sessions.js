// Sessions: those with the most calls, and what each came to.

import { ask } from "./api.js";
import { h, newId, text } from "./dom.js";
import { spanChoice } from "./filters.js";
import { count, few, seconds, usd } from "./format.js";
import { change, link } from "./router.js";
import { nothing, shown } from "./states.js";

const SHOWN = 200;

/** Show sessions. */
export function sessions({ main, heading, params, signal }) {
  const id = newId("glob");
  const glob = h("input", {
    id,
    type: "search",
    placeholder: "run-42*",
    "aria-label": "Id, with * for any text",
    spellcheck: "false",
  });
  const spans = h("span");
  const find = (event) => {
    event.preventDefault();
    change({ id: glob.value.trim() });
  };
  const place = h("div");
  main.replaceChildren(
    h("div", { class: "head" }, heading),
    h(
      "div",
      { class: "filters", role: "search", "aria-label": "Filters" },
      spans,
      h("form", { onsubmit: find }, glob, h("button", { type: "submit" }, "Find")),
    ),
    place,
  );

  function load(now) {
    glob.value = now.get("id") ?? "";
    spans.replaceChildren(spanChoice(now, ""));
    const wanted = now.get("id");
    const where = wanted ? `session_id~${escaped(wanted)}` : "session_id?";
    return shown(place, signal, async () => {
      const sums = await ask(
        "/v1/usage",
        { group_by: "session,namespace", where, since: now.get("since") ?? "", limit: SHOWN },
        { signal },
      );
      if (sums.rows.length === 0) {
        return wanted
          ? nothing("No session matches.", "* stands for any text, ? for one character.")
          : nothing(
              "No sessions yet.",
              "An agent's calls belong to a session when it opens one, or names one in a header.",
            );
      }
      return [
        table(sums.rows),
        h(
          "p",
          { class: "more" },
          sums.more
            ? `The ${count(SHOWN)} sessions with the most calls. Find others by their id.`
            : `${count(sums.rows.length)} sessions`,
        ),
      ];
    });
  }

  load(params);
  return load;
}

const escaped = (glob) => glob.replace(/[\\|]/g, "\\$&").replace(/^[=~<>]/, "\\$&");

function table(rows) {
  const heads = [
    ["Session", ""],
    ["Namespace", "mid"],
    ["Calls", "num"],
    ["Failed", "num"],
    ["Tokens", "num mid"],
    ["Mean latency", "num wide"],
    ["Cached", "num wide"],
    ["Cost", "num"],
  ];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sessions" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Sessions"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
        ),
      ),
      h("tbody", {}, rows.map(sessionRow)),
    ),
  );
}

function sessionRow(row) {
  const { session, namespace } = row.group;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { href: link(["sessions", session], { namespace }) }, text(session))),
    h("td", { class: "mid" }, text(namespace)),
    h("td", { class: "num" }, count(row.calls)),
    h("td", { class: "num" }, row.errors ? h("span", { class: "wrong-text" }, count(row.errors)) : "0"),
    h("td", { class: "num mid" }, few((row.input_tokens ?? 0) + (row.output_tokens ?? 0))),
    h("td", { class: "num wide" }, seconds(row.calls ? row.latency_sum_s / row.calls : null)),
    h("td", { class: "num wide" }, count(row.cached_calls)),
    h("td", { class: "num", title: row.cost_usd }, usd(row.cost_usd)),
  );
}
