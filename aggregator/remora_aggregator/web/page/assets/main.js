// Begins the page: who looks at it, which view, and what to do when the aggregator is away.

import { Away, Problem, ask, connection } from "./api.js";
import { h, say, text } from "./dom.js";
import { place } from "./router.js";
import { problem } from "./states.js";
import { benchmarks } from "./benchmarks.js";
import { call } from "./call.js";
import { calls } from "./calls.js";
import { execution } from "./execution.js";
import { goal } from "./goal.js";
import { health } from "./health.js";
import { scores } from "./scores.js";
import { session } from "./session.js";
import { sessions } from "./sessions.js";
import { sharedBudgets } from "./shared_budgets.js";
import { signIn } from "./sign_in.js";
import { task } from "./task.js";
import { tasks } from "./tasks.js";
import { usage } from "./usage.js";
import { workflows } from "./workflows.js";

const VIEWS = [
  { name: "calls", title: "Live calls", whole: calls, one: call },
  { name: "usage", title: "Usage", whole: usage },
  { name: "sessions", title: "Sessions", whole: sessions, one: session },
  { name: "tasks", title: "Tasks", whole: tasks, one: task },
  { name: "workflows", title: "Workflows", whole: workflows, one: execution },
  { name: "budgets", title: "Budgets", whole: sharedBudgets },
  { name: "scores", title: "Scores", whole: scores, one: goal },
  { name: "benchmarks", title: "Benchmarks", whole: benchmarks },
  { name: "health", title: "Health", whole: health },
];

const main = document.getElementById("main");
const banner = document.getElementById("banner");
let who = null;
let current = null;

/** Show what the address says; the same view hears of other parameters by itself. */
function route() {
  const { steps, params } = place();
  const chosen = VIEWS.find((view) => view.name === steps[0]) ?? VIEWS[0];
  const rest = steps.slice(1);
  const make = rest.length && chosen.one ? chosen.one : chosen.whole;
  const key = JSON.stringify([chosen.name, ...rest]);
  mark(chosen);
  if (current?.key === key && current.update) {
    current.update(params);
    return;
  }
  const isFirst = current === null;
  leave();
  const ending = new AbortController();
  current = { key, ending };
  window.scrollTo(0, 0);
  const heading = h("h1", { tabindex: "-1" }, chosen.title);
  current.update = make({ main, heading, steps: rest, params, who, signal: ending.signal });
  document.title = `${heading.textContent} · Remora`;
  if (!isFirst) heading.focus({ preventScroll: true });
}

function leave() {
  current?.ending.abort();
  current = null;
}

function mark(chosen) {
  const links = VIEWS.map((view) =>
    h(
      "li",
      {},
      h("a", { href: `#/${view.name}`, "aria-current": view === chosen ? "page" : null }, view.title),
    ),
  );
  document.getElementById("nav").replaceChildren(h("ul", {}, links));
}

function showWho() {
  const place = document.getElementById("who");
  const parts = [schemes()];
  if (who)
    parts.unshift(h("span", { class: "name clip", title: `${who.name}, ${who.role}` }, text(who.name)));
  if (who?.expires_at) parts.push(h("button", { type: "button", onclick: signOut }, "Sign out"));
  place.replaceChildren(...parts);
}

/** Let people choose a scheme; unless they do, the system's is taken. */
function schemes() {
  const chosen = document.documentElement.dataset.scheme ?? "";
  const options = [
    ["", "System colours"],
    ["light", "Light"],
    ["dark", "Dark"],
  ].map(([value, name]) => h("option", { value, selected: value === chosen }, name));
  return h(
    "select",
    { "aria-label": "Colours", id: "scheme", onchange: (event) => take(event.target.value) },
    options,
  );
}

function take(scheme) {
  if (scheme) document.documentElement.dataset.scheme = scheme;
  else delete document.documentElement.dataset.scheme;
  try {
    if (scheme) localStorage.setItem("scheme", scheme);
    else localStorage.removeItem("scheme");
  } catch {
    // It lasts as long as the page, then.
  }
}

async function signOut() {
  await ask("/v1/sign-out", {}, { body: {} }).catch(() => {});
  stranger();
}

function stranger() {
  if (who === null && current?.key === "sign-in") return;
  leave();
  who = null;
  document.getElementById("nav").replaceChildren();
  const ending = new AbortController();
  current = { key: "sign-in", ending };
  document.title = "Sign in · Remora";
  signIn({ main, signal: ending.signal, onDone: begin });
  showWho();
}

async function begin() {
  try {
    who = await ask("/v1/whoami");
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return; // the sign-in form stands already
    if (!(error instanceof Away)) main.replaceChildren(problem(error));
    return;
  }
  leave();
  showWho();
  route();
}

connection.addEventListener("stranger", stranger);
connection.addEventListener("away", () => {
  banner.textContent =
    "The aggregator does not answer. What is shown may be old; this page goes on by itself when it is back.";
  banner.hidden = false;
});
connection.addEventListener("back", () => {
  banner.hidden = true;
  say("The aggregator is back.");
  if (who === null) begin();
  else if (current?.update) current.update(place().params);
  else {
    leave();
    route();
  }
});
window.addEventListener("hashchange", () => {
  if (who !== null) route();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address holds the view
  main.focus();
});

showWho();
begin();
