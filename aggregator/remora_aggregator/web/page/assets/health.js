// Health: what is wrong, who reports, how much is stored and for how long.

import { ask } from "./api.js";
import { equals } from "./conditions.js";
import { h, text } from "./dom.js";
import { ago, bytes, clock, count, seconds } from "./format.js";
import { link } from "./router.js";
import { every, nothing, shown } from "./states.js";

const REFRESH_MS = 10_000;
const LATE_S = 30;
const SKEWED_S = 5;
const SILENT_MS = 180_000;
const FILLING = 0.5;
const FULL = 0.85;

/** Show health. */
export function health({ main, heading, signal }) {
  const place = h("div", { class: "stack" });
  main.replaceChildren(h("div", { class: "head" }, heading), place);
  const load = () =>
    shown(place, signal, async () => {
      const found = await ask("/v1/health", {}, { signal });
      return [
        problems(found),
        h("div", { class: "columns even" }, store(found), kept(found)),
        sidecars(found),
      ];
    });
  every(REFRESH_MS, signal, () => {
    if (!place.contains(document.activeElement)) load();
  });
  load();
  return load;
}

function problems(found) {
  if (found.problems.length === 0)
    return h(
      "p",
      {},
      h("span", { class: "badge good" }, "All is well"),
      h("span", { class: "soft" }, ` Aggregator ${found.version}`),
    );
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("strong", {}, "Something is wrong"),
    h(
      "ul",
      {},
      found.problems.map((one) => h("li", {}, one)),
    ),
  );
}

function listed(title, facts) {
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, title),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
  );
}

const moment = (iso) => (iso ? h("time", { datetime: iso, title: iso }, clock(iso)) : "–");

function store({ stock }) {
  if (stock === null) return listed("Store", [["Size", "not known now"]]);
  return listed("Store", [
    ["Records", bytes(stock.records_bytes)],
    ["Bodies, compressed", bytes(stock.bodies_bytes)],
    ["Oldest record", moment(stock.oldest_record_at)],
    ["Oldest body", moment(stock.oldest_body_at)],
  ]);
}

function kept({ retention }) {
  const span = (value) => (value === null ? "for good" : seconds(value));
  const size = (value) => (value === null ? "no bound" : bytes(value));
  return listed("What is kept", [
    ["Records", `${span(retention.records_s)}, ${size(retention.records_bytes)}`],
    ["Bodies", `${span(retention.bodies_s)}, ${size(retention.bodies_bytes)}`],
    ["Sums by day", span(retention.daily_sums_s)],
  ]);
}

function sidecars(found) {
  const inner = found.sidecars.length
    ? table(found, mostSeen(found.sidecars))
    : nothing(
        "No sidecar was heard of within a day.",
        "Look at a sidecar's /healthz: it says whether it reaches the aggregator.",
      );
  const told = `${count(found.sidecars.length)}${found.more ? "+" : ""} heard of within a day`;
  return h(
    "section",
    { class: "panel" },
    h("div", { class: "panel-head" }, h("h2", {}, "Sidecars"), h("span", { class: "soft small" }, told)),
    inner,
  );
}

/** The version that most run: others are marked. */
function mostSeen(all) {
  const seen = new Map();
  for (const { version } of all) seen.set(version, (seen.get(version) ?? 0) + 1);
  return [...seen.entries()].sort((one, other) => other[1] - one[1])[0][0];
}

function table({ sidecars: all, now }, usual) {
  const heads = [
    ["Pod", ""],
    ["Workload", "mid"],
    ["Version", "mid"],
    ["Last seen", ""],
    ["In its spool", "num"],
    ["Delay", "num mid"],
    ["Clock", "num wide"],
    ["Policy", "wide"],
    ["Node", "wide"],
  ];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sidecars" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Sidecars, the last that was heard of first"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
        ),
      ),
      h(
        "tbody",
        {},
        all.map((one) => sidecarRow(one, usual, now)),
      ),
    ),
  );
}

/** When a sidecar was heard of last: one that is well says something each half minute. */
function lastSeen(one, now) {
  const when = h("time", { datetime: one.last_seen_at, title: one.last_seen_at }, ago(one.last_seen_at));
  const isSilent = Date.parse(now) - Date.parse(one.last_seen_at) > SILENT_MS;
  return isSilent ? h("span", { class: "badge warn", title: "It is gone, or cut off." }, when) : when;
}

/** What waits in a sidecar's spool, as it said last. */
function inSpool({ waiting }) {
  if (waiting === null)
    return h("span", { class: "soft", title: "It does not say: it is of an older version." }, "unknown");
  const told = `${count(waiting.records)} ${waiting.records === 1 ? "record" : "records"}`;
  const share = waiting.limit_bytes ? (waiting.bytes ?? 0) / waiting.limit_bytes : 0;
  const kind = share >= FULL ? "badge bad" : share >= FILLING ? "badge warn" : null;
  const of = waiting.limit_bytes === null ? "" : ` of ${bytes(waiting.limit_bytes)}`;
  return [
    h("span", { class: kind, title: waiting.at }, told),
    h("span", { class: "under" }, waiting.bytes === null ? "" : `${bytes(waiting.bytes)}${of}`),
  ];
}

function sidecarRow(one, usual, now) {
  const calls = link(["calls"], {
    where: [equals("pod_uid", one.pod_uid), equals("namespace", one.namespace)],
  });
  const late = one.delay_s > LATE_S;
  const skewed = Math.abs(one.clock_skew_s ?? 0) > SKEWED_S;
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: calls }, text(one.pod_name ?? one.pod_uid)),
      h("span", { class: "under" }, text(one.namespace)),
    ),
    h("td", { class: "mid" }, text(one.workload)),
    h(
      "td",
      { class: "mid" },
      one.version === usual
        ? text(one.version)
        : h("span", { class: "badge warn" }, one.version ?? "unknown"),
    ),
    h("td", {}, lastSeen(one, now)),
    h("td", { class: "num" }, inSpool(one)),
    h(
      "td",
      { class: "num mid" },
      one.delay_s === null
        ? text("")
        : late
          ? h("span", { class: "badge warn", title: "Its last record came late." }, seconds(one.delay_s))
          : seconds(one.delay_s),
    ),
    h(
      "td",
      { class: "num wide" },
      one.clock_skew_s === null
        ? text("")
        : h(
            "span",
            { class: skewed ? "badge warn" : null },
            `${one.clock_skew_s >= 0 ? "+" : "−"}${seconds(Math.abs(one.clock_skew_s))}`,
          ),
    ),
    h(
      "td",
      { class: "wide" },
      one.policies.length
        ? one.policies.map((policy) =>
            h(
              "div",
              {},
              text(policy.name, { short: true }),
              " ",
              h("span", { class: "mono soft", title: policy.version }, policy.version.slice(0, 10)),
            ),
          )
        : text(""),
    ),
    h("td", { class: "wide" }, text(one.node, { short: true })),
  );
}
