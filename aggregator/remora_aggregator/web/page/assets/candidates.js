// Who could have had a call: a table of candidates with their chances, and why each had it or not.

import { h, text } from "./dom.js";
import { usd } from "./format.js";

/** Show who could have had a call, how likely each was, and who had it. */
export function candidates({ candidates: all, decision: made }) {
  const withScore = all.some((one) => one.score !== null);
  const withChance = all.some((one) => one.propensity !== null);
  const rows = all.map((one) => candidate(one, withScore, withChance));
  const heads = [
    ["Candidate", ""],
    ...(withScore ? [["Score", "num"]] : []),
    ...(withChance ? [["Chance", "num"]] : []),
    ["Likely cost", "num"],
    ["Verdict", ""],
  ];
  const odds =
    made.propensity === null
      ? null
      : h("p", { class: "soft small" }, `Left to chance: it was ${percent(made.propensity)} likely.`);
  return [
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Candidates" },
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, "Candidates"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
    odds,
  ];
}

function candidate(one, withScore, withChance) {
  const figure = (value) => h("td", { class: "num" }, value ?? text(""));
  return h(
    "tr",
    { class: one.filtered_out_by ? "out" : null },
    h("th", { scope: "row" }, text(one.model_id), h("span", { class: "under" }, one.provider, setting(one))),
    withScore ? figure(one.score === null ? null : String(Number(one.score.toPrecision(3)))) : null,
    withChance ? figure(one.propensity === null ? null : percent(one.propensity)) : null,
    h("td", { class: "num", title: one.est_cost_usd }, usd(one.est_cost_usd)),
    h("td", {}, verdict(one)),
  );
}

const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

/** Say what policy sets in the request besides the model. */
export const setting = (one) => (one.parameters ? ` with ${JSON.stringify(one.parameters)}` : "");

const NOTES = {
  worse: "thought to be worse",
  tied: "as good as a cheaper or faster one",
  "rolled-back": "left out: its answers got much worse",
  unavailable: "could not be taken",
};

function verdict(one) {
  if (one.filtered_out_by)
    return h(
      "span",
      { class: "badge warn", title: one.filtered_out_by },
      `left out: ${one.filtered_out_by.replace(/_/g, " ")}`,
    );
  if (one.reasons.includes("chosen")) return h("span", { class: "badge good" }, "chosen");
  if (one.reasons.length) return h("span", { class: "badge accent" }, one.reasons.join(", "));
  return h("span", { class: "soft" }, one.note ? (NOTES[one.note] ?? one.note) : "not needed");
}
