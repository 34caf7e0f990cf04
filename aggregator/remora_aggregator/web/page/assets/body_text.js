// A captured body: as text, never as anything else; long ones folded.

import { h } from "./dom.js";
import { bytes } from "./format.js";

const FOLDED_CHARS = 6_000;
const MOST_CHARS = 2_000_000;
const MOST_INDENTED_CHARS = 4_000_000;

/** Lay JSON out over lines, every token as it is; null if the text is none. */
export function laidOut(source) {
  const start = source.trimStart()[0];
  if ((start !== "{" && start !== "[") || source.length > MOST_INDENTED_CHARS) return null;
  try {
    JSON.parse(source);
  } catch {
    return null;
  }
  // The parser says only that it is JSON: numbers that it would round, and keys that come twice, stay.
  const parts = [];
  let depth = 0;
  for (const [token] of source.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/gs)) {
    const last = parts.at(-1);
    if (token === "}" || token === "]") {
      depth -= 1;
      if (last === "{" || last === "[") parts.push(token);
      else parts.push(line(depth), token);
      continue;
    }
    if (last === "{" || last === "[") parts.push(line(depth));
    if (token === ",") parts.push(",", line(depth));
    else if (token === ":") parts.push(": ");
    else parts.push(token);
    if (token === "{" || token === "[") depth += 1;
  }
  return parts.join("");
}

const line = (depth) => `\n${"  ".repeat(Math.min(depth, 60))}`;

/** Show a body. */
export function bodyPanel(title, body, capture) {
  const head = (note) =>
    h("div", { class: "panel-head" }, h("h2", {}, title), h("span", { class: "soft small" }, note));
  if (!body) {
    const why =
      capture === "metadata" || !capture
        ? "Policy keeps none of it (capture: metadata)."
        : "Nothing of it was kept, or no longer.";
    return h("section", { class: "panel" }, head(""), h("p", { class: "soft" }, why));
  }
  const source = body.text ?? body.base64 ?? "";
  const notes = [
    bytes(body.original_bytes),
    body.content_type,
    body.text === null ? "shown as base64" : null,
    body.truncated ? "cut short by policy" : null,
    capture === "redacted" ? "redacted" : null,
  ];
  return h("section", { class: "panel" }, head(notes.filter(Boolean).join(", ")), reader(title, source));
}

function reader(title, source) {
  if (!source) return h("p", { class: "soft" }, "It is empty.");
  const pretty = laidOut(source);
  let isPretty = pretty !== null;
  let isWhole = false;
  const pre = h("pre", {
    class: "body",
    dir: pretty === null ? "auto" : "ltr",
    tabindex: "0",
    role: "region",
    "aria-label": title,
  });
  const fold = h("button", {
    type: "button",
    onclick: () => {
      isWhole = !isWhole;
      draw();
    },
  });
  const lay = h(
    "button",
    {
      type: "button",
      onclick: () => {
        isPretty = !isPretty;
        draw();
      },
    },
    "Laid out",
  );
  const copied = h("button", { type: "button", onclick: copy }, "Copy");

  function draw() {
    const all = isPretty ? pretty : source;
    const most = isWhole ? MOST_CHARS : FOLDED_CHARS;
    const isCut = all.length > most;
    pre.textContent = isCut ? all.slice(0, most) : all;
    if (isCut && isWhole) pre.append(`\n… ${bytes(all.length - most)} more: copy them, or ask /v1/records.`);
    fold.hidden = all.length <= FOLDED_CHARS;
    fold.textContent = isWhole ? "Fold" : `Show all of ${bytes(all.length)}`;
    fold.setAttribute("aria-expanded", String(isWhole));
    lay.setAttribute("aria-pressed", String(isPretty));
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(source);
      copied.textContent = "Copied";
    } catch {
      copied.textContent = "The browser does not allow it";
    }
  }

  draw();
  const tools = [pretty !== null ? lay : null, fold, copied];
  return h("div", {}, h("div", { class: "body-tools" }, tools.filter(Boolean)), pre);
}
