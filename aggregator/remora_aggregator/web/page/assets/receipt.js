// A receipt, drawn as the decision that it is: what was asked, by which rule, who could have it, who had it.

import { budgetTable } from "./budgets.js";
import { candidates, setting } from "./candidates.js";
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
    receipt.candidates.length ? step("Candidates", candidates(receipt)) : null,
    budgets(receipt),
    cached(record),
    tried(record, receipt),
    judged(record),
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
    learned(made),
  );
}

const REASONS = {
  exploitation: "The model that is thought to be the best",
  thompson: "A model that may be better than the best known",
  exploration: "Taken at random, so that changes are noticed",
};

function learned({ reason, risk, scores }) {
  if (!reason) return null;
  return h(
    "p",
    { class: "soft small" },
    `${REASONS[reason] ?? reason}${risk ? `; risk ${risk}` : ""}; `,
    scores
      ? ["by scores ", h("span", { class: "mono", title: scores }, scores.slice(0, 10))]
      : "no scores were known",
    ".",
  );
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

function judged({ outcome }) {
  if (!outcome) return null;
  const notes = [
    outcome.failure_category,
    outcome.failed_checks.length ? `fails ${outcome.failed_checks.join(", ")}` : null,
    `strength ${outcome.strength}, confidence ${outcome.confidence}`,
  ];
  return step(
    "Answer",
    h("span", { class: outcome.strength < 0.5 ? "badge bad" : "badge good" }, outcome.kind.replace(/_/g, " ")),
    h("span", { class: "soft" }, ` ${notes.filter(Boolean).join(", ")}`),
  );
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
    h(
      "span",
      {},
      text(one.model, { short: true }),
      h("span", { class: "under soft" }, " ", one.provider, setting(one)),
    ),
    rail,
    h("span", { title: one.error?.message }, how.filter(Boolean).join(" · ")),
  );
}
