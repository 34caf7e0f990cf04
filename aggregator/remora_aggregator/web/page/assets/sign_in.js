// Exchanges a token for a cookie that no script can read.

import { Away, ask } from "./api.js";
import { h, newId } from "./dom.js";

/** Ask for a token. */
export function signIn({ main, signal, onDone }) {
  const id = newId("token");
  const said = h("p", { class: "wrong-text", role: "alert", id: `${id}-said` });
  const input = h("input", {
    id,
    type: "password",
    name: "token",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    "aria-describedby": `${id}-said`,
  });
  const button = h("button", { class: "main", type: "submit" }, "Sign in");

  async function send(event) {
    event.preventDefault();
    said.textContent = "";
    button.disabled = true;
    try {
      await ask("/v1/sign-in", {}, { body: { token: input.value }, signal });
      input.value = "";
      onDone();
    } catch (error) {
      if (error.name === "AbortError") return;
      said.textContent = error instanceof Away ? error.message : `That did not work: ${error.message}`;
      input.setAttribute("aria-invalid", "true");
      input.focus();
    } finally {
      button.disabled = false;
    }
  }

  main.replaceChildren(
    h(
      "div",
      { class: "sign-in panel stack" },
      h("h1", {}, "Sign in"),
      h(
        "p",
        { class: "soft" },
        "Use a token of this aggregator: a line of its token file, or a ServiceAccount token that it knows. ",
        "It is exchanged for a cookie that lasts twelve hours.",
      ),
      h(
        "form",
        { onsubmit: send, autocomplete: "off" },
        h("label", { class: "stacked", for: id }, "Token", input),
        said,
        button,
      ),
    ),
  );
  input.focus();
}
