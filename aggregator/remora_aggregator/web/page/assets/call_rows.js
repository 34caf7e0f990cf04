// Rows of calls: the same table wherever calls are listed.

import { h, text } from "./dom.js";
import { clock, count, seconds, usd } from "./format.js";
import { link } from "./router.js";

/** Keys of a record that a row shows. */
export const ROW_FIELDS = [
  "started_at",
  "namespace",
  "pod_uid",
  "model",
  "requested_model",
  "provider",
  "status_code",
  "end_reason",
  "error",
  "latency_s",
  "ttft_s",
  "usage.input_tokens",
  "usage.output_tokens",
  "usage.estimated",
  "cost.total_usd",
  "cached",
  "stream",
  "task_id",
  "session_id",
  "agent_id",
  "workload",
  "revision",
  "received_at",
].join(",");

const HEADS = [
  ["Time", ""],
  ["Model", ""],
  ["Outcome", ""],
  ["Latency", "num"],
  ["First byte", "num wide"],
  ["In", "num mid"],
  ["Out", "num mid"],
  ["Cost", "num"],
  ["Provider", "wide"],
  ["Task", "wide"],
  ["Session", "wide"],
  ["Agent", "wide"],
  ["Workload", "wide"],
];
const ENDS = {
  client_gone: "agent left",
  provider_cut: "cut off",
  no_answer: "no answer",
  refused: "refused",
  stopped: "stopped",
};

/** Where one call is shown. */
export function callLink(record) {
  return link(["calls", record.call_id], { namespace: record.namespace, pod: record.pod_uid });
}

/** What tells a call from every other. */
export const callKey = (record) => `${record.namespace}/${record.pod_uid}/${record.call_id}`;

/** Show how a call ended, in a word. */
export function outcome(record) {
  if (record.end_reason && record.end_reason !== "completed") {
    const word = ENDS[record.end_reason] ?? record.end_reason;
    return h(
      "span",
      { class: record.end_reason === "refused" ? "badge warn" : "badge bad", title: record.error?.message },
      word,
    );
  }
  if (record.error)
    return h(
      "span",
      { class: "badge bad", title: record.error.message },
      `${record.status_code ?? ""} ${record.error.type}`.trim(),
    );
  if (record.cached) return h("span", { class: "badge accent" }, "from cache");
  return h("span", { class: "badge good" }, record.status_code ?? "done");
}

/** Make a row. */
export function callRow(record) {
  const usage = record.usage ?? {};
  const asked =
    record.requested_model && record.requested_model !== record.model
      ? h("span", { class: "soft small mid" }, " ← ", text(record.requested_model, { short: true }))
      : null;
  const time = h(
    "a",
    { href: callLink(record) },
    h("time", { datetime: record.started_at, title: record.started_at }, clock(record.started_at)),
  );
  const about = usage.estimated ? "≈ " : "";
  const cells = [
    h("td", {}, time),
    h("td", {}, text(record.model), asked),
    h("td", {}, outcome(record)),
    h("td", { class: "num" }, seconds(record.latency_s)),
    h("td", { class: "num wide" }, seconds(record.ttft_s)),
    h("td", { class: "num mid" }, about, count(usage.input_tokens)),
    h("td", { class: "num mid" }, about, count(usage.output_tokens)),
    h("td", { class: "num", title: record.cost?.total_usd }, usd(record.cost?.total_usd)),
    ...["provider", "task_id", "session_id", "agent_id", "workload"].map((name) =>
      h("td", { class: "wide" }, text(record[name], { short: true })),
    ),
  ];
  const row = h("tr", { onclick: (event) => follow(event, row) }, cells);
  row.dataset.key = callKey(record);
  return row;
}

function follow(event, row) {
  if (event.target.closest("a") || String(getSelection())) return;
  row.querySelector("a").click();
}

/** Make a table of calls, without rows yet. */
export function callTable(caption) {
  const body = h("tbody");
  const heads = HEADS.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title));
  const table = h(
    "table",
    { class: "calls" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads)),
    body,
  );
  return {
    element: h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table),
    body,
  };
}

/** Make a table of some calls. */
export function callList(caption, records) {
  const table = callTable(caption);
  table.body.append(...records.map(callRow));
  return table.element;
}
