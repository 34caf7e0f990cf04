// A table that can be scrolled by itself, and is told by its title.

import { h } from "./dom.js";

/** Make one; `heads` are [title, class], `rows` are elements. */
export function table(title, heads, rows) {
  return h(
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
          heads.map(([name, kind]) => h("th", { scope: "col", class: kind || null }, name)),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
}
