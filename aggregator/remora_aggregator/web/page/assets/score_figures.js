// Shares of good answers, with how sure they are.

import { h, text } from "./dom.js";

const STATUSES = { healthy: "good", degraded: "warn", failing: "bad", insufficient_data: "" };
const KINDS = { goal_healthy: "good", path_underperforming: "warn", drift_detected: "bad" };

/** Write a share of good answers. */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  const isNearEnd = (value < 0.1 || value > 0.995) && value !== 0 && value !== 1;
  return `${(100 * value).toFixed(isNearEnd ? 1 : 0)} %`;
}

/** The share of evidence that is good. */
export const share = ({ good, bad }) => (good + bad > 0 ? good / (good + bad) : null);

/** Say how a goal does in a word. */
export const goalBadge = (goal) =>
  h("span", { class: `badge ${STATUSES[goal.status] ?? ""}` }, (goal.status ?? "unknown").replace("_", " "));

/** Draw a share with its interval. */
export function rateBar(value, [low, high], name) {
  if (value === null) return h("span", { class: "soft" }, "nothing said yet");
  const told = `${rate(value)} (${rate(low)} to ${rate(high)})`;
  const range = h("div", { class: "range" });
  range.style.left = `${100 * low}%`;
  range.style.width = `${Math.max(1, 100 * (high - low))}%`;
  const mark = h("div", { class: "mark" });
  mark.style.left = `${100 * value}%`;
  return h(
    "div",
    { class: "meter rate" },
    h("div", { class: "track", role: "img", "aria-label": `Good answers of ${name}: ${told}` }, range, mark),
    h("span", { class: "small", "aria-hidden": "true" }, told),
  );
}

/** List what there is to know. */
export function insightList(insights) {
  if (insights.length === 0) return h("p", { class: "soft" }, "Nothing.");
  return h(
    "ul",
    { class: "insights" },
    insights.map((one) =>
      h(
        "li",
        {},
        h("span", { class: `badge ${KINDS[one.kind] ?? ""}` }, one.kind.replace(/_/g, " ")),
        " ",
        one.arm ? text(one.arm) : null,
        h("p", {}, one.advice),
        h("p", { class: "soft small" }, figures(one.evidence)),
      ),
    ),
  );
}

const figures = (evidence) =>
  Object.entries(evidence)
    .map(([name, value]) => `${name.replace(/_/g, " ")} ${value}`)
    .join(", ");
