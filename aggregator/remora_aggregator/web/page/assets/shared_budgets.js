// Budgets that pods share: what is spent of each, what is leased, and when it begins anew.

import { ask } from "./api.js";
import { amountMeters, amountText } from "./budgets.js";
import { h, text } from "./dom.js";
import { choice } from "./filters.js";
import { ago, clock, count } from "./format.js";
import { change, link } from "./router.js";
import { every, nothing, shown } from "./states.js";

const PAGE = 100;
const REFRESH_MS = 5_000;
const PERS = ["namespace", "agent", "session", "task"];

/** Show shared budgets. */
export function sharedBudgets({ main, heading, params, signal }) {
  const name = h("input", {
    type: "search",
    placeholder: "daily-*",
    "aria-label": "Name, with * for any text",
    spellcheck: "false",
  });
  const choices = h("span", { class: "filters" });
  const place = h("div");
  const find = (event) => {
    event.preventDefault();
    change({ name: name.value.trim(), cursor: "" });
  };
  let current = params;

  main.replaceChildren(
    h("div", { class: "head" }, heading),
    h(
      "div",
      { class: "filters", role: "search", "aria-label": "Filters" },
      choices,
      h("form", { onsubmit: find }, name, h("button", { type: "submit" }, "Find")),
    ),
    place,
  );

  function load(now) {
    current = now;
    name.value = now.get("name") ?? "";
    const pers = [["", "Counted for anything"], ...PERS.map((per) => [per, `Per ${per}`])];
    choices.replaceChildren(choice("per", "Counted for", pers, now));
    return draw();
  }

  function draw() {
    const cursor = current.get("cursor") ?? "";
    const filter = { budget: current.get("name") ?? "", per: current.get("per") ?? "" };
    return shown(place, signal, async () => {
      const page = await ask("/v1/budgets", { ...filter, cursor, limit: PAGE }, { signal });
      if (page.budgets.length || page.next) return [table(page.budgets), pages(page, cursor)];
      return Object.values(filter).some(Boolean) || cursor
        ? nothing("No budget matches.", "Choose another name, or what budgets are counted for.")
        : nothing(
            "No shared budgets yet.",
            "A budget of a policy, per task, session, agent or namespace, is known as soon as a sidecar asks for some of it.",
          );
    });
  }

  every(REFRESH_MS, signal, () => {
    if (!place.contains(document.activeElement)) draw();
  });
  load(params);
  return load;
}

function pages(page, cursor) {
  return h(
    "div",
    { class: "more" },
    cursor ? h("button", { type: "button", onclick: () => change({ cursor: "" }) }, "First") : null,
    h("span", {}, `${count(page.budgets.length)} budgets`),
    page.next ? h("button", { type: "button", onclick: () => change({ cursor: page.next }) }, "More") : null,
  );
}

function table(found) {
  const heads = [
    ["Budget", ""],
    ["Of", ""],
    ["Spent", ""],
    ["Leased", "num"],
    ["Begins anew", "mid"],
    ["Asked for", "wide"],
    ["Namespace", "wide"],
  ];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Shared budgets" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Shared budgets"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
        ),
      ),
      h("tbody", {}, found.map(budgetRow)),
    ),
  );
}

function whose(one) {
  if (one.key === null) return text("the namespace");
  if (one.per === "task") return h("a", { href: link(["tasks", one.namespace, one.key]) }, text(one.key));
  if (one.per === "session") return h("a", { href: link(["sessions", one.key]) }, text(one.key));
  return text(one.key);
}

function budgetRow(one) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, text(one.budget), h("span", { class: "under" }, `per ${one.per}`)),
    h("td", {}, whose(one)),
    h("td", {}, amountMeters(one.spent, one.limit, one.budget)),
    h("td", { class: "num" }, amountText(one.leased)),
    h(
      "td",
      { class: "mid" },
      one.resets_at ? h("time", { datetime: one.resets_at, title: one.resets_at }, clock(one.resets_at)) : "never",
    ),
    h("td", { class: "wide" }, h("time", { datetime: one.asked_at, title: one.asked_at }, ago(one.asked_at))),
    h("td", { class: "wide" }, text(one.namespace, { short: true })),
  );
}
