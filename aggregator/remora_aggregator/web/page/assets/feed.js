// Server-sent events that go on where they were: after a cut, and after the page was out of sight.

import { ask, query } from "./api.js";

const AGAIN_MS = 2_000;

/**
 * Follow a watch until the signal ends it.
 *
 * A page that nobody looks at follows nothing: browsers keep few connections to one host, and the
 * aggregator few watchers.
 */
export function follow(path, parameters, { kind, signal, onEvent, onStand = () => {} }) {
  let source = null;
  let cursor = parameters.cursor ?? "";
  let timer = 0;

  function open() {
    if (source || signal.aborted || document.hidden) return;
    source = new EventSource(`${path}?${query({ ...parameters, cursor })}`);
    source.addEventListener("ready", (event) => {
      cursor = event.lastEventId;
      onStand(true);
    });
    source.addEventListener(kind, (event) => {
      cursor = event.lastEventId;
      onEvent(JSON.parse(event.data));
    });
    source.addEventListener("error", again);
  }

  function again() {
    close();
    onStand(false);
    // An event source does not say why: a question does, if nobody answers or nobody is signed in.
    ask("/v1/whoami", {}, { signal }).catch(() => {});
    timer = setTimeout(open, AGAIN_MS);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function look() {
    if (document.hidden) close();
    else open();
  }

  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", () => {
    document.removeEventListener("visibilitychange", look);
    close();
  });
  open();
}
