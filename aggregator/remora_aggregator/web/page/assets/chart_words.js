// What a chart says in words: which colour is which, and its figures as a table.

import { h, text } from "./dom.js";

/** Write a moment as exactly as the span from it to the next asks for. */
export const moment = (ms, stepMs) =>
  new Date(ms).toLocaleString(
    "en-GB",
    stepMs >= 86_400_000
      ? { day: "numeric", month: "short", year: "numeric" }
      : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  );

/** Say which colour is which. */
export const legend = (series) =>
  h(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    series.map((one) =>
      h("li", {}, h("span", { class: `swatch s${one.kind}`, "aria-hidden": "true" }), text(one.name)),
    ),
  );

/** Write a value, and how sure it is. */
export function figure(series, at, format) {
  const ends = series.band?.[at];
  const value = format(series.values[at]);
  return ends ? `${value} (${format(ends[0])} to ${format(ends[1])})` : value;
}

/** Tell the figures of a chart as a table. */
export function alternative(title, series, starts, stepMs, format) {
  const details = h("details", { class: "alternative" }, h("summary", {}, "As a table"));
  // A table that nobody opens is not made.
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const rows = starts.map((start, at) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, moment(start, stepMs)),
        series.map((one) => h("td", { class: "num" }, figure(one, at, format))),
      ),
    );
    details.append(
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
        h(
          "table",
          {},
          h("caption", { class: "unseen" }, title),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "From"),
              series.map((one) => h("th", { scope: "col", class: "num" }, text(one.name, { short: true }))),
            ),
          ),
          h("tbody", {}, rows),
        ),
      ),
    );
  });
  return details;
}
