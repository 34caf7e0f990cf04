// One task: where it stands, what may be done about it, its budget, its changes and its calls.

import { ask } from "./api.js";
import { budgetsSeen, taskMeters } from "./budgets.js";
import { ROW_FIELDS, callList } from "./call_rows.js";
import { equals } from "./conditions.js";
import { h, newId, say, text } from "./dom.js";
import { follow } from "./feed.js";
import { ago, clock, count, usd } from "./format.js";
import { link } from "./router.js";
import { every, shown } from "./states.js";
import { because, stateBadge, stateWord } from "./task_words.js";

const CALLS = 50;
const REFRESH_MS = 10_000;
const OVER = ["completed", "failed", "cancelled"];

/** Show a task. */
export function task({ main, heading, steps, who, signal }) {
  const [namespace, id = ""] = steps;
  const path = `/v1/tasks/${encodeURIComponent(namespace)}/${encodeURIComponent(id)}`;
  heading.replaceChildren(text(id, { whole: true }));
  const badge = h("span");
  const actions = h("div", { class: "actions" });
  const place = h("div", { class: "stack" });
  main.replaceChildren(
    h("p", { class: "crumb" }, h("a", { href: "#/tasks" }, "Tasks"), " / ", text(namespace)),
    h("div", { class: "head" }, heading, badge, actions),
    place,
  );

  const load = () =>
    shown(place, signal, async () => {
      const [found, page] = await Promise.all([
        ask(path, { limit: 0 }, { signal }),
        ask(
          "/v1/records",
          { task_id: id, namespace, fields: `${ROW_FIELDS},receipt.budgets`, limit: CALLS },
          { signal },
        ),
      ]);
      const shownTask = found.task;
      badge.replaceChildren(stateBadge(shownTask.state));
      if (!actions.contains(document.activeElement)) offer(shownTask);
      return [
        facts(shownTask),
        budgetsSeen(page.records[0], "task"),
        history(shownTask),
        lastCalls(shownTask, page.records),
      ];
    });

  function offer(now) {
    const may = new Set(who.may);
    const made = [];
    const act = (word, title, kind, fields) =>
      h(
        "button",
        {
          type: "button",
          class: kind,
          onclick: () => confirm({ path: `${path}/${word}`, title, id, kind, fields, done, back }),
        },
        title,
      );
    if (now.state === "paused" && may.has("resume_tasks")) made.push(act("resume", "Resume", "main"));
    if (!OVER.includes(now.state) && now.state !== "paused" && may.has("steer_tasks"))
      made.push(act("pause", "Pause", ""));
    if (!OVER.includes(now.state) && may.has("steer_tasks"))
      made.push(act("cancel", "Cancel", "danger", { cut_streams: "Cut calls in flight, too" }));
    actions.replaceChildren(...made);
  }

  function done(changed) {
    say(`The task is ${stateWord(changed.state)}.`);
    actions.replaceChildren();
    load().then(focusActions);
  }

  /** A dialog gives the focus back to what opened it, which may have been replaced meanwhile. */
  function back() {
    if (document.activeElement === document.body) focusActions();
  }

  function focusActions() {
    (actions.querySelector("button") ?? heading).focus();
  }

  follow(
    "/v1/tasks/watch",
    { namespace },
    { kind: "task", signal, onEvent: (changed) => changed.task_id === id && load() },
  );
  every(REFRESH_MS, signal, load);
  load();
  return load;
}

function facts(now) {
  const { totals } = now;
  const pods = `${count(totals.pod_uids.length)}${totals.more_pods ? "+" : ""}`;
  const own = taskMeters(now, { large: true });
  return h(
    "section",
    { class: "panel stack" },
    now.title ? h("h2", {}, text(now.title, { whole: true })) : null,
    h(
      "p",
      {},
      `${stateWord(now.state)[0].toUpperCase()}${stateWord(now.state).slice(1)} `,
      because(now.by, now.reason),
      ", ",
      h("time", { datetime: now.changed_at, title: now.changed_at }, ago(now.changed_at)),
      ".",
    ),
    own.length ? h("div", {}, h("h3", {}, "Its own budget"), own) : null,
    h(
      "dl",
      { class: "facts" },
      [
        ["Calls", count(totals.calls)],
        ["Failed", `${count(totals.errors)}, of them ${count(totals.refused_calls)} refused`],
        ["From the cache", count(totals.cached_calls)],
        [
          "Cost",
          `${usd(totals.cost_usd)}${totals.unpriced_calls ? ` without ${count(totals.unpriced_calls)} unpriced calls` : ""}`,
        ],
        ["Tokens in", count(totals.input_tokens)],
        ["Tokens out", count(totals.output_tokens)],
        ["Pods", pods],
        ["First call", totals.first_call_at ? clock(totals.first_call_at) : "–"],
        ["Last call", ago(totals.last_call_at)],
      ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
  );
}

function history(now) {
  const rows = [...now.history]
    .reverse()
    .map((one) =>
      h(
        "tr",
        {},
        h("td", {}, h("time", { datetime: one.at, title: one.at }, clock(one.at))),
        h("td", {}, stateBadge(one.after)),
        h("td", {}, because(one.by, one.reason)),
      ),
    );
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Changes"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changes" },
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, "Changes, the newest first"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["When", "Became", "Why"].map((title) => h("th", { scope: "col" }, title)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
    now.older_changes
      ? h("p", { class: "more" }, `${count(now.older_changes)} older changes are not kept.`)
      : null,
  );
}

function lastCalls(now, records) {
  const all = link(["calls"], {
    where: [equals("task_id", now.task_id), equals("namespace", now.namespace)],
  });
  return h(
    "section",
    {},
    h(
      "div",
      { class: "head" },
      h("h2", {}, "Last calls"),
      h("a", { class: "button", href: all }, "All its calls"),
    ),
    callList("Last calls of the task", records),
  );
}

/** Ask why, and do it. */
function confirm({ path, title, id, kind, fields = {}, done, back }) {
  const reason = newId("reason");
  const said = h("p", { class: "wrong-text", role: "alert" });
  const input = h("input", { id: reason, type: "text", maxlength: "500" });
  const ticks = Object.entries(fields).map(([name, label]) =>
    h("label", { class: "field" }, h("input", { type: "checkbox", name }), label),
  );
  const form = h(
    "form",
    { onsubmit: send },
    h("h2", { id: `${reason}-title` }, `${title} this task?`),
    h("p", { class: "soft wrap" }, text(id, { whole: true })),
    h("label", { class: "stacked", for: reason }, "Why? (Others read it.)", input),
    ticks,
    said,
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Back"),
      h("button", { type: "submit", class: kind || "main" }, `${title} the task`),
    ),
  );
  let isDone = false;
  const onclose = () => {
    dialog.remove();
    if (!isDone) back();
  };
  const dialog = h("dialog", { "aria-labelledby": `${reason}-title`, onclose }, form);

  async function send(event) {
    event.preventDefault();
    const body = { reason: input.value };
    for (const tick of form.querySelectorAll("input[type=checkbox]")) body[tick.name] = tick.checked;
    try {
      const changed = await ask(path, {}, { body });
      isDone = true;
      dialog.close();
      done(changed);
    } catch (error) {
      said.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
    }
  }

  document.body.append(dialog);
  dialog.showModal();
  input.focus();
}
