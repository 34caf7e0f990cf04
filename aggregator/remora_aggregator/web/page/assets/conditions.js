// Conditions on fields of records, as `where` takes them: docs/http.md.

/** Write that a field is one of some values; "" stands for "not stated". */
export function equals(field, ...values) {
  const written = values.map((value) => String(value).replace(/[\\|]/g, "\\$&")).join("|");
  return `${field}=${/^[=~<>]/.test(written) ? "\\" : ""}${written}`;
}

/** The field that each dimension of usage is asked by. */
export const FIELDS = {
  model: "model",
  provider: "provider",
  session: "session_id",
  data: "data_id",
  combo: "combo_id",
  agent: "agent_id",
  task: "task_id",
  namespace: "namespace",
  operation: "operation",
  dialect: "dialect",
  workload: "workload",
  pod: "pod_uid",
  requested_model: "requested_model",
  sent_model: "sent_model",
  response_model: "response_model",
  status: "status_code",
  error: "error.type",
  rule: "receipt.rule",
  cache: "cache.result",
};

/** Spans of time that are offered, with the seconds that each takes. */
export const SPANS = [
  ["15m", "15 minutes", 900],
  ["1h", "1 hour", 3600],
  ["6h", "6 hours", 21_600],
  ["1d", "24 hours", 86_400],
  ["7d", "7 days", 604_800],
  ["30d", "30 days", 2_592_000],
  ["90d", "90 days", 7_776_000],
];
