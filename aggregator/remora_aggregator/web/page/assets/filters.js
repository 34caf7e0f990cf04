// The filters that calls and usage share; they stand in the address.

import { ask } from "./api.js";
import { SPANS } from "./conditions.js";
import { h, newId } from "./dom.js";
import { change } from "./router.js";

const OUTCOMES = [
  ["", "Any outcome"],
  ["ok", "Succeeded"],
  ["error", "Failed"],
];

/** What of the address filters records, as /v1/records takes it. */
export function filterOf(params, since = "") {
  return {
    where: params.getAll("where"),
    text: params.get("text") ?? "",
    outcome: params.get("outcome") ?? "",
    since: params.get("since") ?? since,
  };
}

/** Make a list to choose from, kept in the address under a name. */
export function choice(name, label, options, params, byDefault = "") {
  const chosen = params.get(name) ?? byDefault;
  const select = h(
    "select",
    {
      "aria-label": label,
      name,
      onchange: () => change({ [name]: select.value === byDefault ? "" : select.value }),
    },
    options.map(([value, title]) => h("option", { value, selected: value === chosen }, title)),
  );
  return select;
}

/** Spans of time to choose from. */
export function spanChoice(params, byDefault, { all = true } = {}) {
  const options = SPANS.map(([value, title]) => [value, `Last ${title}`]);
  if (all) options.push(["", "All time"]);
  const given = params.get("since");
  if (given && !SPANS.some(([value]) => value === given)) options.push([given, `Since ${given}`]);
  return choice("since", "Time", options, params, byDefault);
}

/** Make the bar; other controls may stand in it. */
export function filterBar(signal, { since = "", all = true, more = () => [] } = {}) {
  const id = newId("where");
  const input = h("input", {
    id,
    type: "text",
    list: `${id}-fields`,
    placeholder: "latency_s>=2 or model~gpt-*",
    "aria-label": "Add a condition",
    autocomplete: "off",
    spellcheck: "false",
  });
  const words = h("input", {
    type: "search",
    placeholder: "Words in captured text",
    "aria-label": "Words in captured text",
    spellcheck: "false",
  });
  const names = h("datalist", { id: `${id}-fields` });
  const chips = h("ul", { class: "chips", "aria-label": "Conditions" });
  const choices = h("span", { class: "filters" });
  const element = h(
    "div",
    { class: "filters", role: "search", "aria-label": "Filters" },
    choices,
    h("form", { onsubmit: add }, input, names, h("button", { type: "submit" }, "Add")),
    h("form", { class: "words", onsubmit: find }, words),
    chips,
  );
  let current = new URLSearchParams();

  function add(event) {
    event.preventDefault();
    const written = input.value.trim();
    if (!written) return;
    input.value = "";
    change({ where: [...new Set([...current.getAll("where"), written])] });
  }

  function find(event) {
    event.preventDefault();
    change({ text: words.value.trim() });
  }

  function chip(condition, at) {
    const without = () => {
      change({ where: current.getAll("where").filter((_, other) => other !== at) });
      input.focus();
    };
    return h(
      "li",
      { class: "chip" },
      h("bdi", { class: "clip", title: condition }, condition),
      h("button", { type: "button", "aria-label": `Remove ${condition}`, onclick: without }, "×"),
    );
  }

  ask("/v1/fields", {}, { signal }).then(
    ({ fields }) =>
      names.replaceChildren(...fields.map((field) => h("option", { value: field.name }, field.kind))),
    () => {}, // they are only offered
  );

  return {
    element,
    /** Show what the address says. */
    sync(params) {
      current = params;
      const held = document.activeElement?.name;
      choices.replaceChildren(
        spanChoice(params, since, { all }),
        choice("outcome", "Outcome", OUTCOMES, params),
        ...more(params),
      );
      if (held && !document.activeElement?.name)
        choices.querySelector(`[name="${CSS.escape(held)}"]`)?.focus();
      chips.replaceChildren(...params.getAll("where").map(chip));
      words.value = params.get("text") ?? "";
      mark("");
    },
    /** Show which condition the aggregator did not take. */
    mark,
  };

  function mark(where) {
    const at = /^where\.(\d+)$/.exec(where)?.[1];
    [...chips.children].forEach((one, index) => one.classList.toggle("wrong", at === String(index)));
    words.setAttribute("aria-invalid", where === "text" ? "true" : "false");
  }
}
