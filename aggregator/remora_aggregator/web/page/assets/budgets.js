// Budgets as bars: what is spent of what may be.

import { h, newId, text } from "./dom.js";
import { clock, few, percent, usd } from "./format.js";

/** Draw how much of a limit is used. */
function meter(spent, limit, format, label, { large = false } = {}) {
  const share = Number(limit) > 0 ? Number(spent) / Number(limit) : 1;
  const kind = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "";
  const told = `${format(spent, limit)}, ${percent(Number(spent), Number(limit) || 1)}`;
  const fill = h("div", { class: "fill" });
  fill.style.width = `${Math.min(100, Math.max(0, share * 100))}%`;
  const track = h(
    "div",
    {
      class: "track",
      role: "meter",
      "aria-label": label,
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      "aria-valuenow": String(Math.min(100, Math.round(share * 100))),
      "aria-valuetext": told,
    },
    fill,
  );
  return h(
    "div",
    { class: `meter ${kind}${large ? " large" : ""}` },
    track,
    h("span", { class: "small" }, told),
  );
}

const money = (spent, limit) => `${usd(spent)} of ${usd(limit)}`;
const tokens = (spent, limit) => `${few(spent)} of ${few(limit)} tokens`;

/** Draw a task's own budget; nothing if it has none. */
export function taskMeters(task, options) {
  const { budget, totals } = task;
  if (!budget) return [];
  const meters = [];
  if (budget.cost_usd !== null)
    meters.push(meter(totals.cost_usd ?? "0", budget.cost_usd, money, `Money of ${task.task_id}`, options));
  if (budget.tokens !== null) {
    meters.push(
      meter(
        totals.input_tokens + totals.output_tokens,
        budget.tokens,
        tokens,
        `Tokens of ${task.task_id}`,
        options,
      ),
    );
  }
  return meters;
}

/** Draw what is spent of a shared budget; where nobody has said its limit, only what is spent. */
export function amountMeters(spent, limit, name) {
  if (limit === null) return `${amountText(spent)} of a limit not known yet`;
  const meters = [];
  if (limit.cost_usd !== null) meters.push(meter(spent.cost_usd, limit.cost_usd, money, `Money of ${name}`));
  if (limit.tokens !== null) meters.push(meter(spent.tokens, limit.tokens, tokens, `Tokens of ${name}`));
  return meters;
}

/** Write an amount of money, tokens or both. */
export function amountText(amount) {
  const told = [];
  if (amount.cost_usd !== null) told.push(usd(amount.cost_usd));
  if (amount.tokens !== null) told.push(`${few(amount.tokens)} tokens`);
  return told.join(", ");
}

const KINDS = { ok: "good", warn: "warn", downgrade: "warn", block: "bad", unpriced: "warn" };

/** Show what a policy's budgets said to a call. */
export function budgetTable(budgets) {
  const id = newId("budgets");
  const rows = budgets.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, text(one.name), h("span", { class: "under" }, `per ${one.per}`)),
      h("td", {}, h("span", { class: `badge ${KINDS[one.result] ?? ""}` }, one.result)),
      h("td", {}, bars(one)),
      h(
        "td",
        { class: "wide" },
        one.resets_at ? h("time", { datetime: one.resets_at }, clock(one.resets_at)) : text(""),
      ),
    ),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": id },
    h(
      "table",
      {},
      h("caption", { class: "unseen", id }, "Budgets"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Budget", "Said", "Spent before the call", "Ends"].map((title, at) =>
            h("th", { scope: "col", class: at === 3 ? "wide" : null }, title),
          ),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
}

function bars(one) {
  const made = [];
  if (one.limit_usd !== null)
    made.push(meter(one.spent_usd ?? "0", one.limit_usd, money, `Money of ${one.name}`));
  if (one.limit_tokens !== null)
    made.push(meter(one.spent_tokens ?? 0, one.limit_tokens, tokens, `Tokens of ${one.name}`));
  return made.length ? made : text("");
}

/** Show the budgets of a kind that the last call of a session or task met; nothing if there was none. */
export function budgetsSeen(record, per) {
  const budgets = (record?.receipt?.budgets ?? []).filter((one) => one.per === per);
  if (budgets.length === 0) return null;
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Budgets of policy"),
    h(
      "p",
      { class: "soft small above" },
      "As its last call met them, ",
      h("time", { datetime: record.started_at }, clock(record.started_at)),
      ".",
    ),
    budgetTable(budgets),
  );
}
