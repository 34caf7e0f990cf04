// How executions of workflows and their steps are said.

import { h } from "./dom.js";

const KINDS = {
  waiting: "",
  running: "accent",
  completed: "good",
  skipped: "",
  failed: "bad",
  defaulted: "warn",
  cancelled: "bad",
  not_started: "",
};

/** All states of an execution. */
export const STATUSES = ["running", "paused", "completed", "failed", "cancelled", "budget_exceeded"];

/** The colour of a step's state, as a class. */
export const stepKind = (status) => KINDS[status] ?? "";

/** Write a step's state as words. */
export const stepWord = (status) => status.replace("_", " ");

/** Show a step's state. */
export const stepBadge = (status) => h("span", { class: `badge ${stepKind(status)}` }, stepWord(status));

/** Whether nothing more becomes of an execution. */
export const isOver = (status) => status !== "running" && status !== "paused";

/** Say how far an execution is. */
export function progress(counts) {
  const failed = counts.failed ? `, ${counts.failed} failed` : "";
  return `${counts.ended} of ${counts.steps}${failed}`;
}
