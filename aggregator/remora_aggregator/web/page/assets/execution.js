// One execution of a workflow: where it stands, its steps as a graph and as rows, its receipts.

import { ask } from "./api.js";
import { h, text } from "./dom.js";
import { isOver, progress, stepBadge } from "./execution_words.js";
import { follow } from "./feed.js";
import { clock, count, seconds, usd } from "./format.js";
import { link } from "./router.js";
import { every, shown } from "./states.js";
import { stepGraph } from "./step_graph.js";
import { table } from "./table.js";
import { stateBadge } from "./task_words.js";

const RECEIPTS = 8;
const REFRESH_MS = 10_000;
const HEADS = [
  ["Step", ""],
  ["State", ""],
  ["Model", ""],
  ["Cost", "num"],
  ["Took", "num"],
  ["Tokens", "num mid"],
  ["Waits for", "wide"],
  ["Asked by", "wide"],
  ["Receipts", ""],
];

/** Show an execution. */
export function execution({ main, heading, steps, signal }) {
  const [namespace, id = ""] = steps;
  const path = `/v1/executions/${encodeURIComponent(namespace)}/${encodeURIComponent(id)}`;
  heading.replaceChildren(text(id, { whole: true }));
  const badge = h("span");
  const actions = h("div", { class: "actions" });
  const place = h("div", { class: "stack" });
  let newest = 0;
  main.replaceChildren(
    h("p", { class: "crumb" }, h("a", { href: "#/workflows" }, "Workflows"), " / ", text(namespace)),
    h("div", { class: "head" }, heading, badge, actions),
    place,
  );

  /** Show what is known by now; what was told earlier and comes later is passed over. */
  function drawn(now) {
    newest = now.revision;
    badge.replaceChildren(stateBadge(now.status));
    if (!actions.contains(document.activeElement)) actions.replaceChildren(...around(now));
    return [facts(now), graph(now), rows(now)];
  }

  const load = () => shown(place, signal, async () => drawn(await ask(path, {}, { signal })));

  function changed(now) {
    const isHeld = place.contains(document.activeElement);
    if (now.revision > newest && !isHeld) shown(place, signal, async () => drawn(now));
  }

  // Asked again once the watch stands: what changed in between is missed by neither.
  follow(
    "/v1/executions/watch",
    { namespace, execution_id: id },
    { kind: "execution", signal, onEvent: changed, onStand: (stands) => stands && load() },
  );
  every(REFRESH_MS, signal, () => {
    if (!place.contains(document.activeElement)) load();
  });
  load();
  return load;
}

function around(now) {
  if (!now.task_id) return [];
  return [h("a", { class: "button", href: link(["tasks", now.namespace, now.task_id]) }, "Its task")];
}

function facts(now) {
  const unpriced = now.unpriced_calls ? `, ${count(now.unpriced_calls)} calls unpriced` : "";
  const told = [
    ["Steps", progress(now.step_counts)],
    ["Cost", unpriced ? `${usd(now.known_cost_usd)} known${unpriced}` : usd(now.total_cost_usd)],
    ["At most, as estimated", usd(now.estimate_most_usd)],
    ["Tokens", count(now.total_tokens)],
    ["Took", seconds(now.total_latency_ms / 1000)],
    ["Began", clock(now.began_at)],
    ["Ended", now.ended_at ? clock(now.ended_at) : isOver(now.status) ? "–" : "goes on"],
    ["Budget", budgetWords(now.budget)],
    ["Runs in", text(now.pod_name ?? now.pod_uid, { short: true })],
    ["Trace", now.trace_id ? h("span", { class: "mono wrap" }, now.trace_id) : "–"],
  ];
  return h(
    "section",
    { class: "panel stack" },
    h("h2", {}, text(now.workflow, { whole: true })),
    now.error ? why(now.error) : null,
    now.downgraded.length
      ? h("p", {}, "Moved to cheaper models by the budget of: ", text(now.downgraded.join(", "), { whole: true }), ".")
      : null,
    h(
      "dl",
      { class: "facts" },
      told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
  );
}

function why(error) {
  const at = error.step_id ? [" at the step ", text(error.step_id, { whole: true })] : null;
  return h("p", { class: "wrong-text" }, "It did not complete: ", h("span", { class: "mono" }, error.code), at, ".");
}

function budgetWords(budget) {
  if (!budget) return "none";
  const limits = [
    budget.max_cost_usd === null ? "" : usd(budget.max_cost_usd),
    budget.max_tokens === null ? "" : `${count(budget.max_tokens)} tokens`,
    budget.max_latency_ms === null ? "" : seconds(budget.max_latency_ms / 1000),
  ].filter(Boolean);
  return `${limits.join(", ")}, then ${budget.on_exceed}`;
}

function graph(now) {
  if (now.steps.length < 2) return null;
  return h("section", { class: "panel" }, h("h2", {}, "Graph"), stepGraph(now.steps));
}

function rows(now) {
  const made = now.steps.map((step) => row(step));
  return h("section", {}, h("div", { class: "head" }, h("h2", {}, "Steps")), table("Steps", HEADS, made));
}

function row(step) {
  const notes = [step.error_code, step.note, openWords(step.open_calls)].filter(Boolean);
  const asked = [step.strategy, step.tier].filter(Boolean).join(", ");
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, text(step.step_id)),
    h(
      "td",
      {},
      stepBadge(step.status),
      notes.map((note) => h("span", { class: "under" }, text(note))),
    ),
    h("td", {}, text(step.model_id), step.provider ? h("span", { class: "under" }, text(step.provider)) : null),
    h("td", { class: "num", title: step.cost_usd }, usd(step.cost_usd)),
    h("td", { class: "num" }, step.latency_ms ? seconds(step.latency_ms / 1000) : "–"),
    h("td", { class: "num mid" }, count(step.tokens)),
    h("td", { class: "wide" }, text(step.depends_on.join(", "))),
    h("td", { class: "wide" }, text(asked)),
    h("td", {}, receipts(step)),
  );
}

const openWords = (calls) => (calls ? `${count(calls)} abandoned calls are not over` : "");

function receipts(step) {
  const ids = step.receipt_ids.slice(0, RECEIPTS);
  if (!ids.length) return text("");
  const beyond = step.receipt_ids.length - ids.length + step.more_receipts;
  const links = ids.map((id, at) =>
    h("li", {}, h("a", { href: link(["calls", id]), title: id, "aria-label": `Call ${at + 1} of ${step.step_id}` }, id.slice(-6))),
  );
  return h(
    "ul",
    { class: "receipts" },
    links,
    beyond ? h("li", { class: "soft" }, `and ${count(beyond)} more`) : null,
  );
}
