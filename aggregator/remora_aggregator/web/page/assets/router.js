// What is shown stands in the address after the #, so that links can be shared and never reach a log.

/** Read an address: its steps, and its parameters. */
export function place(hash = location.hash) {
  const [path, asked = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const steps = path.split("/").filter(Boolean).map(decoded);
  return { steps, params: new URLSearchParams(asked) };
}

function splitOnce(written, mark) {
  const at = written.indexOf(mark);
  return at < 0 ? [written] : [written.slice(0, at), written.slice(at + 1)];
}

function decoded(step) {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** Write an address. */
export function link(steps, params = {}) {
  const path = steps.map(encodeURIComponent).join("/");
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of [value].flat())
      if (one !== "" && one !== null && one !== undefined) asked.append(name, one);
  }
  const written = String(asked);
  return `#/${path}${written ? `?${written}` : ""}`;
}

/** Go somewhere; the back button leads back. */
export function go(address) {
  location.hash = address;
}

/** Go to the same view with some parameters changed; what is null or empty goes. */
export function change(changes) {
  const { steps, params } = place();
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const one of [value].flat())
      if (one !== "" && one !== null && one !== undefined) params.append(name, one);
  }
  const written = String(params);
  go(`#/${steps.map(encodeURIComponent).join("/")}${written ? `?${written}` : ""}`);
}
