// Draws the steps of an execution: which waits for which, and where each stands.

import { h, svg } from "./dom.js";
import { stepKind, stepWord } from "./execution_words.js";
import { seconds, usd } from "./format.js";
import { placed } from "./step_layers.js";

const MARGIN = 2;
const LETTERS = 26;

/** Draw them; the table of steps says the same in words. */
export function stepGraph(steps) {
  const { boxes, lines, width, height, box } = placed(steps);
  const size = { width: width + 2 * MARGIN, height: height + 2 * MARGIN };
  const drawing = svg(
    "svg",
    {
      ...size,
      viewBox: `${-MARGIN} ${-MARGIN} ${size.width} ${size.height}`,
      "aria-hidden": "true",
    },
    lines.map((d) => svg("path", { class: "edge", d })),
    steps.map((step) => node(step, boxes.get(step.step_id), box)),
  );
  return h(
    "div",
    { class: "graph", tabindex: "0", role: "region", "aria-label": "Steps as a graph" },
    h("p", { class: "unseen" }, "The table of steps says what this drawing shows."),
    drawing,
  );
}

function node(step, at, box) {
  const kind = stepKind(step.status);
  return svg(
    "g",
    { class: `node ${kind}`, transform: `translate(${at.x} ${at.y})` },
    svg("title", {}, `${step.step_id}: ${stepWord(step.status)}`),
    svg("rect", { width: box.width, height: box.height, rx: 6 }),
    svg("text", { class: "name", x: 10, y: 19 }, cut(step.step_id)),
    svg("text", { class: "state", x: 10, y: 36 }, cut(below(step), LETTERS + 7)),
  );
}

function below(step) {
  if (!step.latency_ms) return stepWord(step.status);
  return `${stepWord(step.status)} · ${seconds(step.latency_ms / 1000)} · ${usd(step.cost_usd)}`;
}

function cut(words, most = LETTERS) {
  const letters = [...words];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : words;
}
