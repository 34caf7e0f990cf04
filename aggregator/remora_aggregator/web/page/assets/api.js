// Questions to the aggregator, and what can go wrong with them.

/** What the aggregator says is wrong: RFC 9457. */
export class Problem extends Error {
  constructor(status, content, retryAfterS) {
    super(content.detail ?? `The aggregator answered with status ${status}.`);
    this.status = status;
    this.code = content.code ?? "";
    this.where = content.where ?? "";
    this.remedy = content.remedy ?? "";
    this.retryAfterS = retryAfterS;
  }
}

/** Nobody answers. */
export class Away extends Error {
  constructor() {
    super("The aggregator does not answer.");
  }
}

/** Tells `away`, `back`, and `stranger`: nobody is signed in. */
export const connection = new EventTarget();
let isAway = false;

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

function lost() {
  if (isAway) return;
  isAway = true;
  connection.dispatchEvent(new Event("away"));
  setTimeout(lookAgain, FIRST_WAIT_MS, FIRST_WAIT_MS);
}

async function lookAgain(waitedMs) {
  try {
    const answer = await fetch("/healthz", { cache: "no-store" });
    if (answer.ok) {
      isAway = false;
      connection.dispatchEvent(new Event("back"));
      return;
    }
  } catch {
    // Still away.
  }
  const waitMs = Math.min(waitedMs * 2, LONGEST_WAIT_MS);
  setTimeout(lookAgain, waitMs, waitMs);
}

/** Write a query string; a list gives its name again and again, what is empty is left out. */
export function query(parameters) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== "" && one !== null && one !== undefined) written.append(name, one);
    }
  }
  return String(written);
}

/** Ask; throws Problem, Away, or an AbortError. */
export async function ask(path, parameters = {}, { signal, body } = {}) {
  const asked = query(parameters);
  const options = { signal, cache: "no-store", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  let content;
  try {
    answer = await fetch(asked ? `${path}?${asked}` : path, options);
    content = answer.status === 204 ? null : await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Away();
  }
  if (answer.ok) return content === null ? null : JSON.parse(content);
  throw refused(answer, content);
}

function refused(answer, content) {
  let told = {};
  try {
    told = JSON.parse(content);
  } catch {
    // Something between us and the aggregator answered.
  }
  const problem = new Problem(answer.status, told, Number(answer.headers.get("Retry-After")) || 0);
  if (answer.status === 401) connection.dispatchEvent(new Event("stranger"));
  return problem;
}
