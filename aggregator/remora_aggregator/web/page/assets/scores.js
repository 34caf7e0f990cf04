// Scores: how well each goal does, and what to know of it.

import { ask } from "./api.js";
import { h, text } from "./dom.js";
import { ago, count } from "./format.js";
import { link } from "./router.js";
import { WINDOW, namespaceOf, scoreBar } from "./score_bar.js";
import { goalBadge, rateBar } from "./score_figures.js";
import { every, nothing, shown } from "./states.js";
import { table } from "./table.js";

const REFRESH_MS = 5_000;

/** Show all goals. */
export function scores({ main, heading, params, who, signal }) {
  const bar = scoreBar(who);
  const place = h("div", { class: "stack" });
  let current = params;
  main.replaceChildren(h("div", { class: "head" }, heading), bar.element, place);
  const draw = () =>
    shown(place, signal, async () => {
      const filter = { namespace: namespaceOf(current, who), window: current.get("window") ?? WINDOW };
      const { goals } = await ask("/v1/scores", filter, { signal });
      if (goals.length) return goalTable(goals, filter);
      return nothing(
        "No scores yet.",
        "A goal is known as soon as a call for it is recorded: name it by a router, a session or the header remora-goal.",
      );
    });
  function load(now) {
    current = now;
    bar.sync(now);
    return draw();
  }
  every(REFRESH_MS, signal, () => {
    if (!place.contains(document.activeElement)) draw();
  });
  load(params);
  return load;
}

function goalTable(goals, filter) {
  const heads = [
    ["Goal", ""],
    ["Status", ""],
    ["Good answers", ""],
    ["Best arm", "mid"],
    ["Calls", "num"],
    ["To know", "num mid"],
    ["Last call", "wide"],
  ];
  return table("Goals", heads, goals.map((one) => goalRow(one, filter)));
}

function goalRow(one, filter) {
  const best = [...one.arms].sort((a, b) => b.posterior.mean - a.posterior.mean)[0];
  const calls = one.arms.reduce((all, arm) => all + arm.calls, 0);
  const address = link(["scores", one.goal], filter);
  const known = one.insights.filter((each) => each.kind !== "goal_healthy");
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { href: address }, text(one.goal))),
    h("td", {}, goalBadge(one), h("span", { class: "under" }, one.trend ?? "")),
    h("td", {}, rateBar(one.rate, one.interval, one.goal)),
    h("td", { class: "mid" }, text(best?.arm)),
    h("td", { class: "num" }, count(calls)),
    h("td", { class: "num mid" }, count(known.length)),
    h(
      "td",
      { class: "wide" },
      one.last_call_at
        ? h("time", { datetime: one.last_call_at, title: one.last_call_at }, ago(one.last_call_at))
        : "–",
    ),
  );
}
