// Executions of workflows: where each stands, what it took and how long.

import { ask } from "./api.js";
import { h, text } from "./dom.js";
import { STATUSES, progress } from "./execution_words.js";
import { follow } from "./feed.js";
import { choice, spanChoice } from "./filters.js";
import { ago, count, seconds, usd } from "./format.js";
import { change, link } from "./router.js";
import { nothing, shown } from "./states.js";
import { table } from "./table.js";
import { stateBadge, stateWord } from "./task_words.js";

const PAGE = 100;
const SOON_MS = 300;
const HEADS = [
  ["Workflow", ""],
  ["State", ""],
  ["Steps", "mid"],
  ["Cost", "num"],
  ["Took", "num"],
  ["Tokens", "num mid"],
  ["Began", ""],
  ["Task", "wide"],
  ["Namespace", "wide"],
];

/** Show executions. */
export function workflows({ main, heading, params, signal }) {
  const name = h("input", {
    type: "search",
    placeholder: "research",
    "aria-label": "Name of the workflow",
    spellcheck: "false",
  });
  const choices = h("span", { class: "filters" });
  const place = h("div");
  const find = (event) => {
    event.preventDefault();
    change({ workflow: name.value.trim(), cursor: "" });
  };
  let current = params;
  let timer = 0;

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
    name.value = now.get("workflow") ?? "";
    const states = [
      ["", "Any state"],
      ["running,paused", "Under way"],
      ...STATUSES.map((status) => [status, stateWord(status)]),
    ];
    choices.replaceChildren(choice("status", "State", states, now), spanChoice(now, ""));
    return draw();
  }

  function draw() {
    const cursor = current.get("cursor") ?? "";
    const filter = {
      workflow: current.get("workflow") ?? "",
      status: current.get("status") ?? "",
      since: current.get("since") ?? "",
      task_id: current.get("task_id") ?? "",
    };
    return shown(place, signal, async () => {
      const page = await ask("/v1/executions", { ...filter, cursor, limit: PAGE }, { signal });
      if (page.executions.length === 0) {
        const isFiltered = Object.values(filter).some(Boolean) || cursor;
        return isFiltered
          ? nothing("No execution matches.", "Choose another state, or look further back.")
          : nothing(
              "No workflow has run yet.",
              "Run one with remora.workflows.execute or remora workflow run, on a sidecar that reports here.",
            );
      }
      return [table("Executions of workflows", HEADS, page.executions.map(row)), pages(page, cursor)];
    });
  }

  // A change is drawn soon, many changes once.
  follow(
    "/v1/executions/watch",
    {},
    {
      kind: "execution",
      signal,
      onEvent: () => {
        timer ||= setTimeout(() => {
          timer = 0;
          if (!signal.aborted && !place.contains(document.activeElement)) draw();
        }, SOON_MS);
      },
    },
  );
  load(params);
  return load;
}

function pages(page, cursor) {
  return h(
    "div",
    { class: "more" },
    cursor ? h("button", { type: "button", onclick: () => change({ cursor: "" }) }, "Newest") : null,
    h("span", {}, `${count(page.executions.length)} executions`),
    page.next ? h("button", { type: "button", onclick: () => change({ cursor: page.next }) }, "Older") : null,
  );
}

function row(one) {
  const address = link(["workflows", one.namespace, one.execution_id]);
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("a", { href: address }, text(one.workflow)),
      h("span", { class: "under" }, text(one.execution_id)),
    ),
    h(
      "td",
      {},
      stateBadge(one.status),
      one.error ? h("span", { class: "under mono" }, text(one.error.code)) : null,
    ),
    h("td", { class: "mid" }, progress(one.step_counts)),
    h("td", { class: "num", title: one.total_cost_usd }, usd(one.total_cost_usd)),
    h("td", { class: "num" }, seconds(one.total_latency_ms / 1000)),
    h("td", { class: "num mid" }, count(one.total_tokens)),
    h("td", {}, h("time", { datetime: one.began_at, title: one.began_at }, ago(one.began_at))),
    h(
      "td",
      { class: "wide" },
      one.task_id
        ? h("a", { href: link(["tasks", one.namespace, one.task_id]) }, text(one.task_id))
        : text(""),
    ),
    h("td", { class: "wide" }, text(one.namespace, { short: true })),
  );
}
