// A receipt, drawn as the decision that it is: what was asked, by which rule, who could have it, who had it.

import { budgetTable } from "./budgets.js";
import { h, text } from "./dom.js";
import { seconds, usd } from "./format.js";

/** Show how a call was decided. */
export function decision(record) {
  const { receipt } = record;
  if (!receipt) {
    return panel(
      h("p", { class: "soft" }, "No policy was asked about this call."),
      h("h3", {}, "Attempts"),
      attempts(record),
    );
  }
  const steps = [
    asked(record, receipt),
    ruled(receipt),
    candidates(receipt),
    budgets(receipt),
    cached(record),
    tried(record, receipt),
  ];
  return panel(h("ol", { class: "decision" }, steps.filter(Boolean)));
}

const panel = (...parts) => h("section", { class: "panel" }, h("h2", {}, "Decision"), parts);
const step = (title, ...parts) => h("li", {}, h("h3", {}, title), parts);

function asked(record, { decision: made }) {
  return step(
    "Asked for",
    text(made.requested_model_id ?? record.requested_model, { whole: true }),
    record.dialect ? h("span", { class: "soft" }, ` in ${record.dialect}`) : null,
  );
}

function ruled({ policy, policy_version: version, rule, decision: made }) {
  const by = policy
    ? [
        "policy ",
        text(policy, { whole: true }),
        version ? h("span", { class: "mono soft", title: version }, ` ${version.slice(0, 10)}`) : null,
      ]
    : "no policy";
  return step(
    "Ruled by",
    by,
    rule ? [", rule ", text(rule, { whole: true })] : ", no rule took it",
    made.router ? [", router ", text(made.router)] : null,
  );
}

function candidates({ candidates: all, decision: made }) {
  if (all.length === 0) return null;
  const withScore = all.some((one) => one.score !== null);
  const rows = all.map((one) =>
    h(
      "tr",
      { class: one.filtered_out_by ? "out" : null },
      h("th", { scope: "row" }, text(one.model_id), h("span", { class: "under" }, one.provider)),
      withScore
        ? h("td", { class: "num" }, one.score === null ? text("") : String(Number(one.score.toPrecision(3))))
        : null,
      h("td", { class: "num", title: one.est_cost_usd }, usd(one.est_cost_usd)),
      h("td", {}, verdict(one)),
    ),
  );
  const heads = [
    ["Candidate", ""],
    ...(withScore ? [["Score", "num"]] : []),
    ["Likely cost", "num"],
    ["Verdict", ""],
  ];
  const odds =
    made.propensity === null
      ? null
      : h(
          "p",
          { class: "soft small" },
          `Left to chance: it was ${Number((100 * made.propensity).toPrecision(3))} % likely.`,
        );
  return step(
    "Candidates",
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
  );
}

function verdict(one) {
  if (one.filtered_out_by)
    return h(
      "span",
      { class: "badge warn", title: one.filtered_out_by },
      `left out: ${one.filtered_out_by.replace(/_/g, " ")}`,
    );
  if (one.reasons.includes("chosen")) return h("span", { class: "badge good" }, "chosen");
  if (one.reasons.length) return h("span", { class: "badge accent" }, one.reasons.join(", "));
  return h("span", { class: "soft" }, "not needed");
}

function budgets({ budgets: all }) {
  return all.length ? step("Budgets", budgetTable(all)) : null;
}

function cached({ cache }) {
  if (!cache) return null;
  const notes = [
    cache.reason,
    cache.age_s !== null ? `${seconds(cache.age_s)} old` : null,
    cache.saved_usd !== null ? `saved ${usd(cache.saved_usd)}` : null,
    cache.original_latency_s !== null ? `took ${seconds(cache.original_latency_s)} when it was made` : null,
  ];
  return step(
    "Cache",
    h("span", { class: cache.result === "hit" ? "badge accent" : "badge" }, cache.result),
    h("span", { class: "soft" }, ` ${notes.filter(Boolean).join(", ")}`),
  );
}

function tried(record, { decision: made }) {
  if (made.refused_by)
    return step(
      "Refused",
      h("span", { class: "badge bad" }, made.refused_by),
      " ",
      h("bdi", { class: "wrap" }, record.error?.message ?? ""),
    );
  const key = made.credential
    ? h(
        "p",
        { class: "soft small" },
        {
          policy: "With the key that policy has for it.",
          agent: "With the agent's own key.",
          none: "Without a key.",
        }[made.credential] ?? made.credential,
      )
    : null;
  return step("Attempts", attempts(record), key);
}

/** Draw attempts one after the other, on the time of the whole call. */
export function attempts(record) {
  const all = record.attempts;
  if (all.length === 0)
    return h("p", { class: "soft" }, record.cached ? "None: the cache had the answer." : "None was made.");
  const sums = all.map((_, at) =>
    all.slice(0, at).reduce((passed, one) => passed + (one.duration_s ?? 0), 0),
  );
  const whole = Math.max(record.latency_s, sums.at(-1) + (all.at(-1).duration_s ?? 0), 1e-9);
  const lanes = all.map((one, at) => lane(one, sums[at], whole, record));
  const ends = h(
    "div",
    { class: "ends", "aria-hidden": "true" },
    h("span", {}, "0 s"),
    h("span", {}, seconds(whole)),
  );
  const mark =
    record.ttft_s !== null
      ? h("p", { class: "soft small" }, `The first byte of the answer came after ${seconds(record.ttft_s)}.`)
      : null;
  return h("div", { class: "timeline" }, h("ul", {}, lanes), ends, mark);
}

function lane(one, begin, whole, record) {
  const isBad = Boolean(one.error || one.failure);
  const piece = h("div", { class: isBad ? "piece bad" : "piece" });
  piece.style.left = `${(100 * begin) / whole}%`;
  piece.style.width = `${(100 * (one.duration_s ?? 0)) / whole}%`;
  const rail = h("div", { class: "rail", "aria-hidden": "true" }, piece);
  if (!isBad && record.ttft_s !== null && record.ttft_s <= whole) {
    const mark = h("div", { class: "mark" });
    mark.style.left = `${(100 * record.ttft_s) / whole}%`;
    rail.append(mark);
  }
  const how = [
    one.status_code,
    one.failure ?? one.error?.type,
    seconds(one.duration_s),
    one.cost ? usd(one.cost.total_usd) : null,
    one.reused_connection ? "kept connection" : null,
  ];
  return h(
    "li",
    { class: "lane" },
    h("span", {}, text(one.model, { short: true }), h("span", { class: "under soft" }, " ", one.provider)),
    rail,
    h("span", { title: one.error?.message }, how.filter(Boolean).join(" · ")),
  );
}
