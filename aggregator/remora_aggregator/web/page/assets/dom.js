// Elements made from values. Text is only ever a text node: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. Attributes named on… are listeners; null and false are left out. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Make an element of a drawing. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Show somebody's text, which may run either way and be of any length. */
export function text(value, { short = false, whole = false } = {}) {
  if (value === null || value === undefined || value === "") return h("span", { class: "soft" }, "–");
  const shown = String(value);
  if (whole) return h("bdi", { class: "wrap" }, shown);
  return h(
    "bdi",
    { class: short ? "clip short" : "clip", title: shown.length > (short ? 18 : 30) ? shown : null },
    shown,
  );
}

/** Say something to who listens to the page; sparingly. */
export function say(words) {
  document.getElementById("said").textContent = words;
}

let made = 0;

/** Make an id that no other element has. */
export function newId(what) {
  made += 1;
  return `${what}-${made}`;
}
