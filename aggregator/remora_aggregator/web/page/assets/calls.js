// Calls as they end: the newest first, a bounded number of them, with filters.

import { ask } from "./api.js";
import { ROW_FIELDS, callKey, callRow, callTable } from "./call_rows.js";
import { h, say } from "./dom.js";
import { follow } from "./feed.js";
import { choice, filterBar, filterOf } from "./filters.js";
import { count } from "./format.js";
import { nothing, shown } from "./states.js";

const FIRST = "r0"; // before all records
const PAGE = 100;
const MOST = 500;
const DRAW_MS = 250;
const ORDERS = [
  ["", "Newest first"],
  ["latency_s", "Slowest first"],
  ["ttft_s", "Slowest first byte"],
  ["cost.total_usd", "Costliest first"],
  ["overhead_s", "Most overhead"],
];

/** Show calls. */
export function calls({ main, heading, params, signal }) {
  const bar = filterBar(signal, { more: (asked) => [choice("order_by", "Order", ORDERS, asked)] });
  const pause = h(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => list?.turn() },
    "Pause",
  );
  const state = h("span", { class: "soft small", id: "live-state" });
  const place = h("div");
  let list = null;
  let asked = null;

  main.replaceChildren(
    h("div", { class: "head" }, heading, state, h("div", { class: "actions" }, pause)),
    bar.element,
    place,
  );

  function load(now) {
    list?.end();
    bar.sync(now);
    asked = new AbortController();
    const ended = AbortSignal.any([signal, asked.signal]);
    list = new CallList({ params: now, place, state, pause, bar, signal: ended, end: asked });
  }

  load(params);
  return load;
}

/** A list for one set of filters. */
class CallList {
  constructor({ params, place, state, pause, bar, signal, end }) {
    Object.assign(this, { place, state, pause, bar, signal });
    this.end = () => end.abort();
    this.filter = filterOf(params);
    this.orderBy = params.get("order_by") ?? "";
    this.isLive = !this.orderBy;
    this.isPaused = false;
    this.rows = new Map(); // by key, the newest first
    this.waiting = new Map();
    this.next = null;
    this.timer = 0;
    pause.hidden = !this.isLive;
    this.show();
    this.load();
  }

  load() {
    return shown(this.place, this.signal, async () => {
      const page = await this.page("").catch((error) => {
        this.bar.mark(error.where ?? "");
        throw error;
      });
      this.rows = new Map();
      for (const record of page.records) this.put(record);
      this.next = page.next;
      if (this.isLive && !this.isFollowed) this.follow(page);
      return this.drawn();
    });
  }

  /** Follow what comes after a page, so that nothing falls between the two. */
  follow({ records, next }) {
    this.isFollowed = true;
    // Of a page that is empty and yet not the last, nobody knows where it ends: then from now on.
    const cursor = records[0]?.cursor ?? (next ? "" : FIRST);
    follow(
      "/v1/records/watch",
      { ...this.filter, fields: ROW_FIELDS, cursor },
      {
        kind: "record",
        signal: this.signal,
        onEvent: (record) => this.take(record),
        onStand: (stands) => {
          this.stands = stands;
          this.show();
        },
      },
    );
  }

  page(cursor) {
    return ask(
      "/v1/records",
      { ...this.filter, order_by: this.orderBy, fields: ROW_FIELDS, limit: PAGE, cursor },
      { signal: this.signal },
    );
  }

  put(record) {
    this.rows.set(callKey(record), { record, row: callRow(record) });
  }

  /** Take note of a call that has just ended; rows are drawn a few times a second at most. */
  take(record) {
    const key = callKey(record);
    this.waiting.delete(key);
    this.waiting.set(key, record);
    if (this.waiting.size > MOST) this.waiting.delete(this.waiting.keys().next().value);
    if (this.isPaused) this.show();
    else this.timer ||= setTimeout(() => this.flush(), DRAW_MS);
  }

  flush() {
    this.timer = 0;
    if (this.signal.aborted || this.isPaused || this.waiting.size === 0) return;
    const news = [...this.waiting.values()].reverse();
    this.waiting.clear();
    const rows = new Map();
    for (const record of news) {
      const row = callRow(record);
      row.classList.add("fresh");
      rows.set(callKey(record), { record, row });
    }
    for (const [key, row] of this.rows) if (!rows.has(key)) rows.set(key, row);
    this.rows = rows;
    this.cut();
    if (this.table) this.redraw();
    else this.place.replaceChildren(...this.drawn());
    this.show();
  }

  /** Keep a bounded number; what went can be asked for again. */
  cut() {
    const all = [...this.rows.entries()];
    if (all.length <= MOST) return;
    this.rows = new Map(all.slice(0, MOST));
    if (this.isLive) this.next = all[MOST - 1][1].record.cursor;
  }

  drawn() {
    if (this.rows.size === 0 && !this.next) {
      this.table = null;
      const filtered =
        this.filter.where.length || this.filter.text || this.filter.outcome || this.filter.since;
      return [
        filtered
          ? nothing("No call matches.", "Take a condition away, or look further back.")
          : nothing("No calls yet.", "A call is shown here as soon as a sidecar has reported it."),
      ];
    }
    this.table = callTable("Calls");
    this.older = h("div", { class: "more" });
    this.redraw();
    return [this.table.element, this.older];
  }

  redraw() {
    const held = document.activeElement?.closest?.("tr")?.dataset.key;
    const rows = [...this.rows.values()].map((one) => one.row);
    this.table.body.replaceChildren(...rows);
    if (held)
      rows
        .find((row) => row.dataset.key === held)
        ?.querySelector("a")
        .focus({ preventScroll: true });
    this.older.replaceChildren(
      h("span", {}, `${count(rows.length)} calls shown`),
      this.next ? h("button", { type: "button", onclick: () => this.more() }, "Older") : null,
    );
  }

  async more() {
    const button = this.older.querySelector("button");
    button.disabled = true;
    try {
      const page = await this.page(this.next);
      for (const record of page.records) this.put(record);
      this.next = page.next;
      const all = [...this.rows.entries()];
      if (all.length > MOST) {
        this.rows = new Map(all.slice(all.length - MOST));
        this.hasHole = true; // between these and the newest
        if (this.isLive && !this.isPaused) this.turn();
      }
      this.redraw();
    } catch (error) {
      if (error.name === "AbortError") return;
      button.disabled = false;
      this.older.append(h("span", { class: "wrong-text", role: "alert" }, error.message));
    }
  }

  /** Pause, or go on. */
  turn() {
    this.isPaused = !this.isPaused;
    say(this.isPaused ? "Paused. New calls wait." : "New calls are shown.");
    if (!this.isPaused && this.hasHole) {
      this.hasHole = false;
      this.waiting.clear();
      this.load();
    }
    this.flush();
    this.show();
  }

  show() {
    const waits =
      this.isPaused && this.waiting.size
        ? `${count(this.waiting.size)}${this.waiting.size >= MOST ? "+" : ""} new`
        : "";
    const stands = this.stands ? "Live" : "Connecting …";
    this.state.textContent = !this.isLive
      ? "Not live in this order"
      : this.isPaused
        ? ["Paused", waits].filter(Boolean).join(", ")
        : stands;
    this.pause.textContent = this.isPaused ? "Go on" : "Pause";
    this.pause.setAttribute("aria-pressed", String(this.isPaused));
  }
}
