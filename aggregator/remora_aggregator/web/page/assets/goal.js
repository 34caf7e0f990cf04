// One goal: how its arms do, over time and now, and what to know of it.

import { ask } from "./api.js";
import { timeChart } from "./chart.js";
import { h, text } from "./dom.js";
import { ago, count, seconds, usd } from "./format.js";
import { WINDOW, namespaceOf, scoreBar } from "./score_bar.js";
import { goalBadge, insightList, rate, rateBar, share } from "./score_figures.js";
import { every, nothing, shown } from "./states.js";
import { table } from "./table.js";

const REFRESH_MS = 5_000;
const POINTS = 60;
const COLOURS = 7;

/** Show one goal. */
export function goal({ main, heading, steps, params, who, signal }) {
  const [name] = steps;
  heading.replaceChildren(text(name, { whole: true }));
  const bar = scoreBar(who);
  const place = h("div", { class: "stack" });
  let current = params;
  main.replaceChildren(h("div", { class: "head" }, heading), bar.element, place);
  const draw = () =>
    shown(place, signal, async () => {
      const namespace = namespaceOf(current, who);
      const span = current.get("window") ?? WINDOW;
      const [{ goals }, { points }] = await Promise.all([
        ask("/v1/scores", { namespace, goal: name, window: span }, { signal }),
        ask("/v1/scores/timeline", { namespace, goal: name, since: span, points: POINTS }, { signal }),
      ]);
      return parts(goals[0], points);
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

function parts(one, points) {
  const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), ...content);
  return [
    h("p", {}, goalBadge(one), ` ${one.trend ?? ""}`, one.version ? `, router version ${one.version}` : ""),
    panel("Good answers over time", overTime(points)),
    panel("Arms", armTable(one)),
    panel("To know", insightList(one.insights)),
    one.failures.length ? panel("Failures", failureTable(one.failures)) : null,
  ];
}

function armTable(one) {
  const heads = [
    ["Arm", ""],
    ["Good answers", ""],
    ["Believed", "num"],
    ["Answers known", "num mid"],
    ["Calls", "num mid"],
    ["Cost of a call", "num"],
    ["Latency, p50", "num mid"],
    ["Changed", "wide"],
  ];
  const rows = one.arms.map((arm) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        text(arm.arm),
        arm.is_stale ? h("span", { class: "under" }, "not heard of lately") : null,
      ),
      h("td", {}, rateBar(arm.rate, arm.interval, arm.arm)),
      h("td", { class: "num" }, rate(arm.posterior.mean)),
      h("td", { class: "num mid" }, count(Math.round(arm.samples))),
      h("td", { class: "num mid" }, count(arm.calls)),
      h("td", { class: "num" }, usd(arm.cost_usd)),
      h("td", { class: "num mid" }, seconds(arm.latency_ms === null ? null : arm.latency_ms / 1000)),
      h("td", { class: "wide" }, arm.shift ? changed(arm.shift) : "–"),
    ),
  );
  return table("Arms", heads, rows);
}

function changed(shift) {
  const said = `${rate(share(shift.before))} to ${rate(share(shift.after))}`;
  return h("time", { datetime: shift.at, title: shift.at }, `${said}, ${ago(shift.at)}`);
}

function failureTable(failures) {
  const rows = failures.map((one) =>
    h("tr", {}, h("th", { scope: "row" }, text(one.category)), h("td", { class: "num" }, count(one.calls))),
  );
  const heads = [
    ["Why", ""],
    ["Calls", "num"],
  ];
  return table("Failures", heads, rows);
}

function overTime(points) {
  if (points.length === 0) return nothing("Nothing was said of answers in this time.", "Look further back.");
  const pieces = points.map((one) => ({
    ...one,
    begins: Date.parse(one.starts_at),
    ends: Date.parse(one.ends_at),
  }));
  const stepMs = Math.min(...pieces.map((one) => one.ends - one.begins));
  const first = Math.min(...pieces.map((one) => one.begins));
  const last = Math.max(...pieces.map((one) => one.ends));
  const starts = [];
  for (let at = first; at < last; at += stepMs) starts.push(at);
  const arms = [...new Set(pieces.map((one) => one.arm))].slice(0, COLOURS);
  const series = arms.map((arm, at) => {
    const own = pieces.filter((one) => one.arm === arm);
    const there = starts.map((start) => own.find((one) => one.begins <= start && start < one.ends));
    return {
      name: arm,
      kind: at + 1,
      values: there.map((one) => one?.rate ?? null),
      band: there.map((one) => one?.interval ?? null),
    };
  });
  return timeChart({ title: "Good answers", series, starts, stepMs, format: rate, stacked: false, most: 1 });
}
