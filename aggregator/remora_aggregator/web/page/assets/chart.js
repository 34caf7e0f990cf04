// A chart over time: stacked bars or lines, with a legend, a table, and a mark that keys move.

import { bands } from "./chart_bands.js";
import { alternative, figure, legend, moment } from "./chart_words.js";
import { h, newId, svg, text } from "./dom.js";
import { ticks, timeTicks } from "./scales.js";

const HEIGHT = 260;
const TOP = 8;
const BOTTOM = 24;
const LEFT_LEAST = 36;
const LETTER = 6.4;

/** Leave out zeros that say nothing: 8.00 s is 8 s on an axis. */
const short = (figure) => figure.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");

/**
 * Draw series over time.
 *
 * `series` are {name, values, kind}, one value (or null) for each of `starts`; `kind` is the number of
 * a colour. A `band` of lines is an interval [low, high] (or null) for each value. `starts` are moments
 * in ms, `stepMs` apart. `most` is what the axis reaches whatever the values are.
 */
export function timeChart({ title, series, starts, stepMs, format, stacked, most = 0 }) {
  const chart = new Chart({ title, series, starts, stepMs, format, stacked, most });
  return h(
    "figure",
    { class: "figure", "aria-label": title },
    legend(series),
    chart.element,
    alternative(title, series, starts, stepMs, format),
  );
}

class Chart {
  constructor(given) {
    Object.assign(this, given);
    this.at = null;
    this.drawing = svg("svg", {
      height: HEIGHT,
      role: "img",
      "aria-label": `${this.title}. The same figures stand in the table below.`,
    });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.pick = h("div", {
      class: "pick",
      tabindex: "0",
      role: "slider",
      id: newId("pick"),
      "aria-label": `${this.title}: time`,
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": String(Math.max(0, this.starts.length - 1)),
      "aria-valuenow": String(Math.max(0, this.starts.length - 1)),
      "aria-valuetext": this.starts.length ? this.told(this.starts.length - 1) : "nothing",
      onkeydown: (event) => this.key(event),
      onpointermove: (event) => this.point(event),
      onpointerleave: () => this.leave(),
      onblur: () => this.choose(null),
      onfocus: () => this.pick.matches(":focus-visible") && this.choose(this.at ?? this.starts.length - 1),
    });
    this.element = h("div", { class: "chart" }, this.drawing, this.pick, this.tip);
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width || !this.starts.length) return;
    const most = Math.max(...this.starts.map((_, at) => this.height(at)), this.most);
    const marks = ticks(most);
    const labels = marks.map((value) => short(this.format(value)));
    this.left = Math.max(LEFT_LEAST, Math.max(...labels.map((one) => one.length)) * LETTER + 10);
    this.width = width - this.left - 2;
    this.x = (index) => this.left + ((index + 0.5) * this.width) / this.starts.length;
    this.y = (value) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / marks.at(-1);
    this.mark = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.drawing.replaceChildren(
      ...this.axes(marks, labels, width),
      ...(this.stacked ? this.bars() : [...bands(this), ...this.lines()]),
      this.mark,
    );
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.choose(this.at);
  }

  height(at) {
    const values = this.series.map((one) => one.values[at] ?? 0);
    return this.stacked ? values.reduce((all, one) => all + one, 0) : Math.max(...values, 0);
  }

  axes(marks, labels, width) {
    const parts = marks.flatMap((value, at) => [
      svg("line", {
        class: at ? "grid" : "axis",
        x1: this.left,
        x2: width,
        y1: this.y(value),
        y2: this.y(value),
      }),
      svg("text", { x: this.left - 8, y: this.y(value) + 4, "text-anchor": "end" }, labels[at]),
    ]);
    const begin = this.starts[0];
    const end = this.starts.at(-1) + this.stepMs;
    const place = (ms) => this.left + ((ms - begin) / (end - begin)) * this.width;
    for (const { at, isDay } of timeTicks(begin, end, Math.max(2, Math.floor(this.width / 64)))) {
      const said = new Date(at).toLocaleString(
        "en-GB",
        isDay ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" },
      );
      const x = place(at);
      if (x > width - 14) continue;
      parts.push(
        svg("line", { class: "axis", x1: x, x2: x, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }),
        svg("text", { x, y: HEIGHT - 7, "text-anchor": x < this.left + 16 ? "start" : "middle" }, said),
      );
    }
    return parts;
  }

  bars() {
    const room = this.width / this.starts.length;
    const gap = Math.min(4, room * 0.2);
    return this.starts.flatMap((_, at) => {
      let below = 0;
      return this.series
        .map((one) => {
          const value = one.values[at] ?? 0;
          if (!(value > 0)) return null;
          const top = this.y(below + value);
          const height = this.y(below) - top;
          below += value;
          // A seam of a pixel keeps neighbours apart where their colours look alike.
          return svg("rect", {
            class: `s${one.kind}`,
            x: this.left + at * room + gap / 2,
            width: Math.max(1, room - gap),
            y: top,
            height: Math.max(0.5, height - (height > 3 ? 1 : 0)),
          });
        })
        .filter(Boolean);
    });
  }

  lines() {
    return this.series.flatMap((one) => {
      const path = [];
      let pen = "M";
      one.values.forEach((value, at) => {
        if (value === null || value === undefined) pen = "M";
        else {
          path.push(`${pen}${this.x(at).toFixed(1)} ${this.y(value).toFixed(1)}`);
          pen = "L";
        }
      });
      const alone = one.values.map((value, at) =>
        value !== null && (one.values[at - 1] ?? null) === null && (one.values[at + 1] ?? null) === null
          ? svg("circle", { class: `s${one.kind}`, cx: this.x(at), cy: this.y(value), r: 2.5 })
          : null,
      );
      return [svg("path", { class: `line s${one.kind}`, d: path.join(" ") }), ...alone.filter(Boolean)];
    });
  }

  told(at) {
    const parts = this.series
      .filter((one) => one.values[at] !== null && one.values[at] !== undefined && one.values[at] !== 0)
      .map((one) => `${one.name} ${figure(one, at, this.format)}`);
    return `${moment(this.starts[at], this.stepMs)}: ${parts.join(", ") || "nothing"}`;
  }

  key(event) {
    const last = this.starts.length - 1;
    const now = this.at ?? last;
    const next = {
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      Home: 0,
      End: last,
      PageUp: now + 10,
      PageDown: now - 10,
    }[event.key];
    if (event.key === "Escape") this.choose(null);
    if (next === undefined) return;
    event.preventDefault();
    this.choose(Math.min(last, Math.max(0, next)));
  }

  point(event) {
    const x = event.clientX - this.element.getBoundingClientRect().left - this.left;
    if (this.width)
      this.choose(
        Math.min(this.starts.length - 1, Math.max(0, Math.floor((x / this.width) * this.starts.length))),
      );
  }

  leave() {
    if (!this.pick.matches(":focus-visible")) this.choose(null);
  }

  choose(at) {
    this.at = at;
    if (at === null || !this.mark) {
      this.tip.hidden = true;
      this.mark?.setAttribute("visibility", "hidden");
      return;
    }
    this.pick.setAttribute("aria-valuenow", String(at));
    this.pick.setAttribute("aria-valuetext", this.told(at));
    const x = this.x(at);
    for (const end of ["x1", "x2"]) this.mark.setAttribute(end, x);
    this.mark.setAttribute("visibility", "visible");
    const rows = this.series
      .map((one) => ({ one, value: one.values[at] }))
      .filter(({ value }) => value !== null && value !== undefined && (!this.stacked || value !== 0));
    this.tip.replaceChildren(
      h("strong", {}, moment(this.starts[at], this.stepMs)),
      h(
        "ul",
        {},
        rows.length
          ? rows.map(({ one }) =>
              h(
                "li",
                {},
                h("span", { class: `swatch s${one.kind}` }),
                text(one.name, { short: true }),
                h("span", {}, figure(one, at, this.format)),
              ),
            )
          : h("li", {}, "nothing"),
      ),
    );
    this.tip.hidden = false;
    const isRight = x > this.element.clientWidth / 2;
    this.tip.style.left = isRight ? "" : `${x + 12}px`;
    this.tip.style.right = isRight ? `${this.element.clientWidth - x + 12}px` : "";
  }
}
