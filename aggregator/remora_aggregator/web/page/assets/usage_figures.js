// Sums over calls, as tiles and as a table.

import { FIELDS, equals } from "./conditions.js";
import { h, text } from "./dom.js";
import { count, few, percent, seconds, usd } from "./format.js";
import { sum } from "./money.js";
import { link } from "./router.js";

const total = (rows, name) => rows.reduce((all, row) => all + (row[name] ?? 0), 0);
const money = (rows, name) => sum(rows.map((row) => row[name]));

/** Show what groups come to together. */
export function usageTiles(rows) {
  const calls = total(rows, "calls");
  const unknown = total(rows, "unpriced_calls") + total(rows, "unread_usage_calls");
  const cost = money(rows, "cost_usd");
  const saved = money(rows, "saved_usd");
  const cached = total(rows, "cached_calls");
  return h(
    "dl",
    { class: "tiles" },
    tile("Calls", count(calls)),
    tile("Cost", usd(cost), unknown ? `without ${count(unknown)} calls of unknown cost` : "", cost),
    tile("Failed", count(total(rows, "errors")), percent(total(rows, "errors"), calls)),
    tile(
      "Tokens in",
      few(total(rows, "input_tokens")),
      `${few(total(rows, "cache_read_tokens"))} from providers' caches`,
      count(total(rows, "input_tokens")),
    ),
    tile("Tokens out", few(total(rows, "output_tokens")), "", count(total(rows, "output_tokens"))),
    tile("From the cache", percent(cached, calls), `${count(cached)} calls`),
    tile("Saved by the cache", usd(saved), `and ${seconds(total(rows, "saved_s"))}`, saved),
  );
}

function tile(title, figure, note = "", exact = null) {
  return h(
    "div",
    {},
    h("dt", {}, title),
    h("dd", { title: exact }, figure, note ? h("div", { class: "note" }, note) : null),
  );
}

const at = (row, measure, part) =>
  row.quantiles?.[measure]?.find((one) => one.quantile === part)?.value_s ?? null;

/** Show groups as a table. */
export function usageTable(rows, dimensions, { linked = null } = {}) {
  const most = Math.max(...rows.map((row) => Number(row.cost_usd ?? 0)), 0);
  const hasQuantiles = rows.some((row) => row.quantiles);
  const heads = [
    ...dimensions.map((name) => [titled(name), ""]),
    ["Calls", "num"],
    ["Failed", "num mid"],
    ["Tokens in", "num mid"],
    ["Tokens out", "num mid"],
    ...(hasQuantiles
      ? [
          ["p50", "num wide"],
          ["p95", "num wide"],
          ["p99", "num wide"],
          ["First byte p95", "num wide"],
        ]
      : []),
    ["Cached", "num mid"],
    ["Saved", "num wide"],
    ["Cost", "num"],
  ];
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      dimensions.map((name, index) =>
        h(index ? "td" : "th", index ? {} : { scope: "row" }, groupText(name, row.group[name], linked)),
      ),
      h("td", { class: "num" }, count(row.calls)),
      h("td", { class: "num mid" }, row.errors ? h("span", { class: "wrong-text" }, count(row.errors)) : "0"),
      h("td", { class: "num mid", title: count(row.input_tokens) }, few(row.input_tokens)),
      h("td", { class: "num mid", title: count(row.output_tokens) }, few(row.output_tokens)),
      hasQuantiles
        ? [0.5, 0.95, 0.99].map((part) => h("td", { class: "num wide" }, seconds(at(row, "latency_s", part))))
        : null,
      hasQuantiles ? h("td", { class: "num wide" }, seconds(at(row, "ttft_s", 0.95))) : null,
      h("td", { class: "num mid" }, percent(row.cached_calls, row.calls)),
      h("td", { class: "num wide", title: row.saved_usd }, usd(row.saved_usd)),
      h(
        "td",
        { class: "num", title: row.cost_usd },
        usd(row.cost_usd),
        share(Number(row.cost_usd ?? 0), most),
      ),
    ),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sums" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, `Sums by ${dimensions.map(titled).join(" and ")}`),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
        ),
      ),
      h("tbody", {}, body),
    ),
  );
}

/** Name a dimension. */
export const titled = (name) => (name[0].toUpperCase() + name.slice(1)).replace("_", " ");

function groupText(name, value, linked) {
  const said =
    value === null ? h("span", { class: "soft" }, `no ${titled(name).toLowerCase()}`) : text(value);
  if (name === "session" && value !== null) return h("a", { href: link(["sessions", value]) }, said);
  if (linked === null) return said;
  return h(
    "a",
    { href: link(["calls"], { ...linked, where: [...linked.where, equals(FIELDS[name], value ?? "")] }) },
    said,
  );
}

function share(value, most) {
  if (most <= 0) return null;
  const bar = h("span", { class: "share", "aria-hidden": "true" });
  bar.style.width = `${Math.max(1, (72 * value) / most)}px`;
  return bar;
}
