// What stands where nothing can be shown: that it is being asked, that there is none, or why not.

import { Away, Problem } from "./api.js";
import { h } from "./dom.js";

const LEAST_WAIT_S = 2;

/** Say that there is nothing, and why that may be. */
export function nothing(title, why = "") {
  return h("div", { class: "notice" }, h("strong", {}, title), why);
}

/** Say that an answer is waited for. */
export const asking = () => h("div", { class: "notice" }, "Loading …");

/** Say what went wrong, where, and what to do. */
export function problem(error) {
  const remedy = error instanceof Problem ? error.remedy : "It is tried again by itself.";
  const title = error instanceof Problem || error instanceof Away ? error.message : "This page has a bug.";
  const detail = error instanceof Problem || error instanceof Away ? remedy : String(error.message ?? error);
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, title), detail);
}

/**
 * Ask, and show the answer or what went wrong in a place.
 *
 * A place that shows an answer keeps it while the next one is waited for. What passes by itself is
 * tried again.
 */
export async function shown(where, signal, make) {
  if (!where.childElementCount) where.replaceChildren(asking());
  where.setAttribute("aria-busy", "true");
  try {
    const made = await make();
    if (!signal.aborted) where.replaceChildren(...[made].flat().filter(Boolean));
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    if (!(error instanceof Problem) && !(error instanceof Away)) console.error(error);
    where.querySelectorAll(":scope > .problem, :scope > .notice").forEach((old) => old.remove());
    where.prepend(problem(error));
    if ([429, 503, 504].includes(error.status)) later(where, signal, make, error.retryAfterS);
  } finally {
    where.removeAttribute("aria-busy");
  }
}

function later(where, signal, make, waitS) {
  const timer = setTimeout(() => shown(where, signal, make), Math.max(LEAST_WAIT_S, waitS) * 1000);
  signal.addEventListener("abort", () => clearTimeout(timer));
}

/** Do something now and again while the page is looked at. */
export function every(periodMs, signal, work) {
  const timer = setInterval(() => {
    if (!document.hidden) work();
  }, periodMs);
  signal.addEventListener("abort", () => clearInterval(timer));
}
