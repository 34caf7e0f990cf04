// Usage and cost over time, by any dimension.

import { ask } from "./api.js";
import { timeChart } from "./chart.js";
import { FIELDS, SPANS, equals } from "./conditions.js";
import { h } from "./dom.js";
import { choice, filterBar, filterOf } from "./filters.js";
import { count, few, seconds, usd } from "./format.js";
import { intervalFor } from "./scales.js";
import { nothing, shown } from "./states.js";
import { titled, usageTable, usageTiles } from "./usage_figures.js";

const SINCE = "7d";
const GROUPS = 100;
const COLOURS = 7;
const OTHER = 8;
const MOST_QUERY_CHARS = 5_000;
const QUANTILES = "0.5,0.95,0.99";
const SPAN_OF_ALL_S = 400 * 86_400;

const whole = (name) => (row) => row[name] ?? 0;
const quantile = (measure, part) => (row) =>
  row.quantiles?.[measure]?.find((one) => one.quantile === part)?.value_s ?? null;
const MEASURES = {
  cost: { title: "Cost", of: (row) => Number(row.cost_usd ?? 0), format: usd },
  calls: { title: "Calls", of: whole("calls"), format: few },
  errors: { title: "Failed calls", of: whole("errors"), format: few },
  tokens: { title: "Tokens", of: (row) => (row.input_tokens ?? 0) + (row.output_tokens ?? 0), format: few },
  input: { title: "Tokens in", of: whole("input_tokens"), format: few },
  output: { title: "Tokens out", of: whole("output_tokens"), format: few },
  cached: { title: "Calls from the cache", of: whole("cached_calls"), format: few },
  saved: { title: "Saved by the cache", of: (row) => Number(row.saved_usd ?? 0), format: usd },
  p50: { title: "Latency, p50", of: quantile("latency_s", 0.5), format: seconds, isQuantile: true },
  p95: { title: "Latency, p95", of: quantile("latency_s", 0.95), format: seconds, isQuantile: true },
  p99: { title: "Latency, p99", of: quantile("latency_s", 0.99), format: seconds, isQuantile: true },
  ttft: { title: "First byte, p95", of: quantile("ttft_s", 0.95), format: seconds, isQuantile: true },
  overhead: {
    title: "Remora's own part, p95",
    of: quantile("overhead_s", 0.95),
    format: seconds,
    isQuantile: true,
  },
};

/** Show usage. */
export function usage({ main, heading, params, signal }) {
  const bar = filterBar(signal, {
    since: SINCE,
    more: (now) => [
      choice(
        "by",
        "Group by",
        Object.keys(FIELDS).map((name) => [name, `By ${titled(name).toLowerCase()}`]),
        now,
        "model",
      ),
      choice(
        "of",
        "Measure",
        Object.entries(MEASURES).map(([name, one]) => [name, one.title]),
        now,
        "cost",
      ),
    ],
  });
  const place = h("div", { class: "stack" });
  let asked = null;
  main.replaceChildren(h("div", { class: "head" }, heading), bar.element, place);

  function load(now) {
    asked?.abort();
    asked = new AbortController();
    bar.sync(now);
    const ended = AbortSignal.any([signal, asked.signal]);
    return shown(place, ended, () =>
      drawn(now, ended).catch((error) => {
        bar.mark(error.where ?? "");
        throw error;
      }),
    );
  }

  load(params);
  return load;
}

async function drawn(params, signal) {
  const by = params.get("by") in FIELDS ? params.get("by") : "model";
  const measure = MEASURES[params.get("of")] ?? MEASURES.cost;
  const filter = filterOf(params, SINCE);
  const span = spanOf(filter.since);
  const begins = Date.now() - span * 1000;
  const [interval, stepS] = intervalFor(span);
  const sums = await ask(
    "/v1/usage",
    { ...filter, group_by: by, quantiles: QUANTILES, limit: GROUPS },
    { signal },
  );
  if (sums.rows.length === 0)
    return nothing("No calls in this time.", "Look further back, or take a condition away.");
  const top = chosen(sums.rows, by, measure);
  const series = await overTime({ filter, by, top, sums, interval, measure, signal });
  const first =
    filter.since === "" ? Math.min(...series.flatMap((one) => [...one.points.keys()]), Date.now()) : begins;
  const starts = startsFrom(first, stepS * 1000);
  const shownSeries = series.map((one) => ({
    name: one.name,
    kind: one.kind,
    values: starts.map((start) => one.points.get(start) ?? (measure.isQuantile ? null : 0)),
  }));
  const title = `${measure.title} by ${titled(by).toLowerCase()}`;
  const error =
    measure.isQuantile && sums.quantile_error
      ? h(
          "p",
          { class: "soft small" },
          `Quantiles are off by at most ${Number((100 * sums.quantile_error).toPrecision(2))} % of themselves.`,
        )
      : null;
  return [
    usageTiles(sums.rows),
    h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "panel-head" },
        h("h2", {}, title),
        h("span", { class: "soft small" }, `each ${interval}`),
      ),
      timeChart({
        title,
        series: shownSeries,
        starts,
        stepMs: stepS * 1000,
        format: measure.format,
        stacked: !measure.isQuantile,
      }),
      error,
    ),
    h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "panel-head" },
        h("h2", {}, titled(by)),
        h(
          "span",
          { class: "soft small" },
          sums.more
            ? `the ${count(GROUPS)} with the most calls; tiles sum up these`
            : `${count(sums.rows.length)} in all`,
        ),
      ),
      usageTable(sums.rows, [by], { linked: filter }),
    ),
  ];
}

function spanOf(since) {
  const known = SPANS.find(([name]) => name === since);
  if (known) return known[2];
  const at = Date.parse(since);
  return Number.isNaN(at) ? SPAN_OF_ALL_S : Math.max(60, (Date.now() - at) / 1000);
}

/** The groups that get a colour: those with the most, as many as a question can name. */
function chosen(rows, by, measure) {
  // Quantiles of few calls are wild: those with the most calls say more.
  const weight = measure.isQuantile ? MEASURES.calls.of : measure.of;
  const sorted = [...rows].sort((one, other) => weight(other) - weight(one)).slice(0, COLOURS);
  const kept = [];
  let room = MOST_QUERY_CHARS;
  for (const row of sorted) {
    room -= encodeURIComponent(row.group[by] ?? "").length + 3;
    if (room >= 0) kept.push(row);
  }
  return kept;
}

async function overTime({ filter, by, top, sums, interval, measure, signal }) {
  const quantiles = measure.isQuantile ? QUANTILES : "";
  const named = {
    ...filter,
    where: [...filter.where, equals(FIELDS[by], ...top.map((row) => row.group[by] ?? ""))],
  };
  const hasOthers = !measure.isQuantile && (sums.more || sums.rows.length > top.length);
  const [some, all] = await Promise.all([
    ask("/v1/usage", { ...named, group_by: by, interval, quantiles }, { signal }),
    hasOthers ? ask("/v1/usage", { ...filter, group_by: "namespace", interval }, { signal }) : null,
  ]);
  const series = top.map((row, at) => ({
    name: row.group[by] ?? `no ${titled(by).toLowerCase()}`,
    key: row.group[by],
    kind: at + 1,
    points: new Map(),
  }));
  for (const row of some.rows)
    series.find((one) => one.key === row.group[by])?.points.set(Date.parse(row.starts_at), measure.of(row));
  if (all) series.push({ name: "others", kind: OTHER, points: others(all.rows, series, measure) });
  return series;
}

function others(rows, series, measure) {
  const left = new Map();
  for (const row of rows) {
    const start = Date.parse(row.starts_at);
    left.set(start, (left.get(start) ?? 0) + measure.of(row));
  }
  for (const [start, total] of left) {
    const named = series.reduce((sum, one) => sum + (one.points.get(start) ?? 0), 0);
    left.set(start, total - named > total * 1e-9 ? total - named : 0);
  }
  return left;
}

/** Spans are aligned to the Unix epoch, as the aggregator's sums are. */
function startsFrom(firstMs, stepMs) {
  const found = [];
  for (let start = Math.floor(firstMs / stepMs) * stepMs; start <= Date.now(); start += stepMs)
    found.push(start);
  return found.slice(-120);
}
