// How a task's state and its changes are said.

import { h, text } from "./dom.js";

const KINDS = {
  pending: "",
  planning: "accent",
  running: "accent",
  paused: "warn",
  completed: "good",
  failed: "bad",
  cancelled: "bad",
  budget_exceeded: "bad",
};
const GROUNDS = { call: "since it was called for", quiet: "since nobody called", budget: "by a budget" };

/** All states. */
export const STATES = Object.keys(KINDS);

/** Write a state as a word. */
export const stateWord = (state) => state.replace("_", " ");

/** Show a state. */
export const stateBadge = (state) => h("span", { class: `badge ${KINDS[state] ?? ""}` }, stateWord(state));

/** Say who made it so, and why. */
export function because(by, reason) {
  const who = by.kind === "caller" ? ["by ", text(by.name || "somebody")] : (GROUNDS[by.kind] ?? by.kind);
  return h("span", {}, who, reason ? [": ", h("bdi", { class: "wrap" }, reason)] : null);
}
