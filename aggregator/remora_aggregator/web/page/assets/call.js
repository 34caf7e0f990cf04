// One call: how it was decided, what it cost, and what was said, as far as policy kept it.

import { Problem, ask } from "./api.js";
import { bodyPanel } from "./body_text.js";
import { outcome } from "./call_rows.js";
import { equals } from "./conditions.js";
import { h, text } from "./dom.js";
import { bytes, clock, count, seconds, usd } from "./format.js";
import { decision } from "./receipt.js";
import { link } from "./router.js";
import { nothing, shown } from "./states.js";

const TOKENS = [
  ["input_tokens", "In"],
  ["cache_read_tokens", "of them from the provider's cache"],
  ["cache_write_tokens", "of them into the provider's cache"],
  ["output_tokens", "Out"],
  ["reasoning_tokens", "of them reasoning"],
  ["input_audio_tokens", "Audio in"],
  ["output_audio_tokens", "Audio out"],
  ["input_image_tokens", "Images in"],
  ["output_image_tokens", "Images out"],
  ["billed_input_tokens", "Billed in"],
  ["billed_output_tokens", "Billed out"],
  ["web_searches", "Searches of the web"],
  ["rerank_searches", "Rerank searches"],
];

/** Show a call. */
export function call({ main, heading, steps, params, signal }) {
  const [id] = steps;
  heading.textContent = "Call";
  const place = h("div", { class: "stack" });
  main.replaceChildren(
    h(
      "p",
      { class: "crumb" },
      h("a", { href: "#/calls" }, "Live calls"),
      " / ",
      h("span", { class: "mono wrap" }, id),
    ),
    h("div", { class: "head" }, heading),
    place,
  );
  const load = () =>
    shown(place, signal, async () => {
      let record;
      try {
        record = await ask(
          `/v1/records/${encodeURIComponent(id)}`,
          { bodies: 1, namespace: params.get("namespace"), pod_uid: params.get("pod") },
          { signal },
        );
      } catch (error) {
        if (error instanceof Problem && error.status === 404)
          return nothing(
            "There is no such call.",
            "It may not have been reported yet, is no longer kept, or is of a namespace that you may not look at.",
          );
        throw error;
      }
      heading.replaceChildren(text(record.model ?? "Call", { whole: true }), " ", outcome(record));
      document.title = `${record.model ?? "Call"} · Remora`;
      return all(record);
    });
  load();
  return load;
}

function all(record) {
  return [
    summary(record),
    record.error
      ? h(
          "div",
          { class: "problem" },
          h("strong", {}, text(record.error.type, { whole: true })),
          h("bdi", { class: "wrap" }, record.error.message),
        )
      : null,
    h(
      "div",
      { class: "columns" },
      h("div", { class: "stack" }, decision(record)),
      h("div", { class: "stack" }, used(record), notes(record)),
    ),
    h(
      "div",
      { class: "columns even" },
      bodyPanel("Request", record.request_body, record.capture),
      bodyPanel("Answer", record.response_body, record.capture),
    ),
    origin(record),
  ];
}

const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

function summary(record) {
  const tiles = [
    ["Began", h("time", { datetime: record.started_at, title: record.started_at }, clock(record.started_at))],
    ["Took", seconds(record.latency_s)],
    ["First byte", seconds(record.ttft_s)],
    ["Remora's own part", seconds(record.overhead_s)],
    ["Cost", h("span", { title: record.cost?.total_usd }, usd(record.cost?.total_usd))],
    ["Tokens in / out", `${count(record.usage?.input_tokens)} / ${count(record.usage?.output_tokens)}`],
  ];
  return h(
    "dl",
    { class: "tiles" },
    tiles.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function used(record) {
  const { usage, cost } = record;
  const rows = usage
    ? TOKENS.filter(([name]) => usage[name] !== null).map(([name, title]) =>
        h("tr", {}, h("th", { scope: "row" }, title), h("td", { class: "num" }, count(usage[name]))),
      )
    : [];
  const said = !usage
    ? "The provider stated no usage, or none that could be read."
    : usage.estimated
      ? "Our own estimate: the call ended before the provider stated it."
      : "As the provider stated it.";
  const money = cost
    ? facts([
        ["In", usd(cost.input_usd)],
        ["Out", usd(cost.output_usd)],
        ["Together", h("span", { class: "mono" }, `$${cost.total_usd}`)],
        ["Price list", `${cost.price_source}, ${cost.price_date}`],
      ])
    : h("p", { class: "soft" }, "The price is not known.");
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Usage and cost"),
    h(
      "p",
      { class: "soft small" },
      said,
      record.cached ? " It is that of the call that made the answer, and was not used again." : "",
    ),
    rows.length ? h("table", {}, h("caption", { class: "unseen" }, "Usage"), h("tbody", {}, rows)) : null,
    h("h3", {}, "Cost"),
    money,
  );
}

function notes(record) {
  if (record.notes.length === 0 && record.tool_names.length === 0) return null;
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Notes"),
    h(
      "ul",
      {},
      record.notes.map((note) => h("li", {}, h("bdi", { class: "wrap" }, note))),
    ),
    record.tool_names.length
      ? [
          h("h3", {}, "Tools named"),
          h(
            "p",
            {},
            record.tool_names.flatMap((name, at) => [at ? ", " : "", text(name, { whole: true })]),
          ),
        ]
      : null,
  );
}

function origin(record) {
  const to = (view, id, params) =>
    id
      ? h("a", { href: link([view, ...[id].flat()], params) }, text([id].flat().at(-1), { whole: true }))
      : null;
  const calls = (field, value) =>
    value
      ? h("a", { href: link(["calls"], { where: [equals(field, value)] }) }, text(value, { whole: true }))
      : null;
  const plain = (value) => (value ? text(value, { whole: true }) : null);
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Where it came from"),
    facts([
      ["Task", record.task_id ? to("tasks", [record.namespace, record.task_id]) : null],
      ["Session", to("sessions", record.session_id, { namespace: record.namespace })],
      ["Agent", calls("agent_id", record.agent_id)],
      ["Data", calls("data_id", record.data_id)],
      ["Combo", calls("combo_id", record.combo_id)],
      ["Goal", calls("goal", record.goal)],
      ["Trace", calls("trace_id", record.trace_id)],
      ["Namespace", calls("namespace", record.namespace)],
      ["Workload", calls("workload", record.workload)],
      ["Pod", calls("pod_uid", record.pod_uid)],
      ["Pod's name", plain(record.pod_name)],
      ["Node", plain(record.node)],
      ["Sidecar", plain(record.sidecar_version)],
      ["Mode", plain(record.mode)],
      ["Dialled", plain(record.original_destination)],
      ["URL", plain([record.method, record.url].filter(Boolean).join(" "))],
      ["Provider", calls("provider", record.provider)],
      ["Operation", plain(record.operation)],
      ["Asked for", plain(record.requested_model)],
      ["Sent", plain(record.sent_model)],
      ["Served", plain(record.response_model)],
      ["Stream", record.stream ? "yes" : "no"],
      [
        "Ended",
        plain([record.end_reason?.replace("_", " "), record.finish_reason].filter(Boolean).join(", ")),
      ],
      ["Provider's request id", plain(record.provider_request_id)],
      ["Provider's answer id", plain(record.response_id)],
      ["Request, answer", `${bytes(record.request_bytes)}, ${bytes(record.response_bytes)}`],
      ["Captured", plain(record.capture)],
      ["Received", h("time", { datetime: record.received_at }, clock(record.received_at))],
      ["Revision", String(record.revision)],
      [
        "Labels",
        Object.keys(record.labels).length
          ? plain(
              Object.entries(record.labels)
                .map(([name, value]) => `${name}=${value}`)
                .join(" "),
            )
          : null,
      ],
    ]),
  );
}
