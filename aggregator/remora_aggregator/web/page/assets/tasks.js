// Tasks: where each stands, and what it has used of its budget.

import { ask } from "./api.js";
import { taskMeters } from "./budgets.js";
import { h, text } from "./dom.js";
import { follow } from "./feed.js";
import { choice, spanChoice } from "./filters.js";
import { ago, count, usd } from "./format.js";
import { change, link } from "./router.js";
import { every, nothing, shown } from "./states.js";
import { STATES, because, stateBadge, stateWord } from "./task_words.js";

const PAGE = 100;
const REFRESH_MS = 10_000;
const SOON_MS = 300;

/** Show tasks. */
export function tasks({ main, heading, params, signal }) {
  const glob = h("input", {
    type: "search",
    placeholder: "nightly-*",
    "aria-label": "Id, with * for any text",
    spellcheck: "false",
  });
  const choices = h("span", { class: "filters" });
  const place = h("div");
  const find = (event) => {
    event.preventDefault();
    change({ id: glob.value.trim(), cursor: "" });
  };
  let current = params;
  let timer = 0;

  main.replaceChildren(
    h("div", { class: "head" }, heading),
    h(
      "div",
      { class: "filters", role: "search", "aria-label": "Filters" },
      choices,
      h("form", { onsubmit: find }, glob, h("button", { type: "submit" }, "Find")),
    ),
    place,
  );

  function load(now) {
    current = now;
    glob.value = now.get("id") ?? "";
    choices.replaceChildren(
      choice(
        "state",
        "State",
        [
          ["", "Any state"],
          ["planning,running", "Under way"],
          ...STATES.map((state) => [state, stateWord(state)]),
        ],
        now,
      ),
      spanChoice(now, ""),
    );
    return draw();
  }

  function draw() {
    const cursor = current.get("cursor") ?? "";
    const filter = {
      task_id: current.get("id") ?? "",
      state: current.get("state") ?? "",
      since: current.get("since") ?? "",
    };
    return shown(place, signal, async () => {
      const page = await ask("/v1/tasks", { ...filter, cursor, limit: PAGE }, { signal });
      if (page.tasks.length === 0) {
        const isFiltered = Object.values(filter).some(Boolean) || cursor;
        return isFiltered
          ? nothing("No task matches.", "Choose another state, or look further back.")
          : nothing(
              "No tasks yet.",
              "A task is known as soon as a call names it, in the header remora-task or by its session.",
            );
      }
      return [table(page.tasks), pages(page, cursor)];
    });
  }

  // A change is drawn soon, many changes once; what calls come to is no change, and is asked for now and again.
  follow(
    "/v1/tasks/watch",
    {},
    {
      kind: "task",
      signal,
      onEvent: () => {
        timer ||= setTimeout(() => {
          timer = 0;
          if (!signal.aborted && !place.contains(document.activeElement)) draw();
        }, SOON_MS);
      },
    },
  );
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
    cursor ? h("button", { type: "button", onclick: () => change({ cursor: "" }) }, "Newest") : null,
    h("span", {}, `${count(page.tasks.length)} tasks`),
    page.next ? h("button", { type: "button", onclick: () => change({ cursor: page.next }) }, "Older") : null,
  );
}

function table(found) {
  const heads = [
    ["Task", ""],
    ["State", ""],
    ["Budget", ""],
    ["Cost", "num"],
    ["Calls", "num mid"],
    ["Failed", "num mid"],
    ["Last call", "wide"],
    ["Namespace", "wide"],
    ["Why", "wide"],
  ];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tasks" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Tasks"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([title, kind]) => h("th", { scope: "col", class: kind || null }, title)),
        ),
      ),
      h("tbody", {}, found.map(taskRow)),
    ),
  );
}

function taskRow(task) {
  const meters = taskMeters(task);
  const { totals } = task;
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: link(["tasks", task.namespace, task.task_id]) }, text(task.title || task.task_id)),
      task.title ? h("span", { class: "under" }, text(task.task_id)) : null,
    ),
    h("td", {}, stateBadge(task.state)),
    h("td", {}, meters.length ? meters : text("")),
    h("td", { class: "num", title: totals.cost_usd }, usd(totals.cost_usd)),
    h("td", { class: "num mid" }, count(totals.calls)),
    h(
      "td",
      { class: "num mid" },
      totals.errors ? h("span", { class: "wrong-text" }, count(totals.errors)) : "0",
    ),
    h(
      "td",
      { class: "wide" },
      h("time", { datetime: totals.last_call_at, title: totals.last_call_at }, ago(totals.last_call_at)),
    ),
    h("td", { class: "wide" }, text(task.namespace, { short: true })),
    h("td", { class: "wide" }, task.by.kind === "call" ? text("") : because(task.by, task.reason)),
  );
}
