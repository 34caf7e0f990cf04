"""What clients send, as values: whatever comes in, and what is known of their ways."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.ids import is_call_id
from remora.learning.evidence import Source
from remora_aggregator.signals.kalibr_capsules import capsule_of, reconstructed
from remora_aggregator.signals.kalibr_failures import category_of, facts_of
from remora_aggregator.signals.kalibr_models import arm_of, call_id_of, provider_and_model
from remora_aggregator.signals.kalibr_paths import Path, eligible
from remora_aggregator.signals.kalibr_signals import SaidSignal, evidence_of
from remora_aggregator.signals.kalibr_spans import moment_of, span_of
from remora_aggregator.web.kalibr.bodies import OutcomeBody, PathBody, SignalBody
from remora_aggregator.web.kalibr.spans import is_signed

NOW_NS = 1_790_000_000 * 10**9
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["trace_id", "span_id", "parent_id", "model_id", "status", "cost_usd", "duration_ms",
     "input_tokens", "output_tokens", "timestamp", "ts_start", "metadata", "last_n_hops",
     "aggregate_cost_usd", "aggregate_latency_ms", "error_type", "vendor", "goal"]
)  # fmt: skip
EVENTS = st.dictionaries(FIELDS | st.text(max_size=8), JSON, max_size=12)


@pytest.mark.parametrize(
    ("model_id", "wanted"),
    [
        ("gpt-4o", ("openai", "gpt-4o")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("o3-mini", ("openai", "o3-mini")),
        ("ft:gpt-4o:acme/x", ("openai", "ft:gpt-4o:acme/x")),
        ("claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("anthropic/claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("deepseek-chat", ("deepseek", "deepseek-chat")),
        ("nebius/meta/llama", ("nebius", "meta/llama")),
        ("ollama/llama3", ("ollama", "llama3")),
        ("tavily/basic", ("tavily", "basic")),
        ("meta-llama/Llama-3.2-3B", ("huggingface", "meta-llama/Llama-3.2-3B")),
        ("eleven_turbo_v2", ("elevenlabs", "eleven_turbo_v2")),
        ("mistral-large", ("openai", "mistral-large")),
        ("openai/", ("huggingface", "openai/")),
    ],
)
def test_models_are_whose_the_client_asks(model_id, wanted):
    assert provider_and_model(model_id) == wanted


@given(st.text(min_size=1, max_size=80))
def test_every_trace_id_gives_one_call_id(text):
    call_id = call_id_of(text)
    assert is_call_id(call_id)
    assert call_id_of(text) == call_id
    assert call_id_of(call_id) == call_id


def test_a_trace_id_with_dashes_is_the_one_without():
    dashed = "89C4e458-0b8b-4b42-b39d-3d9c142de1fe"
    assert call_id_of(dashed) == call_id_of(dashed.replace("-", "").lower())


def test_tools_and_parameters_set_arms_apart():
    keys = {
        arm_of("gpt-4o").key,
        arm_of("gpt-4o", "search").key,
        arm_of("gpt-4o", "", {"temperature": 0.1}).key,
        arm_of("gpt-4o", "", {"stop": ["a", {"b": 1}]}).key,
    }
    assert len(keys) == 4
    assert arm_of("gpt-4o", "s", {"a": 1, "b": 2}).key == arm_of("openai/gpt-4o", "s", {
        "b": 2, "a": 1,
    }).key  # fmt: skip


RISKS = st.sampled_from(["low", "medium", "high"])
PATHS = st.lists(
    st.builds(
        Path, st.just("g"), st.sampled_from(["gpt-4o", "openai/gpt-4o", "a", "b"]),
        st.sampled_from(["", "t"]), risk=RISKS, is_enabled=st.booleans(),
    ),
    max_size=6,
)  # fmt: skip
CANDIDATES = st.none() | st.lists(st.sampled_from(["gpt-4o", "a", "new"]), max_size=3)


@given(PATHS, CANDIDATES, RISKS)
def test_what_may_be_taken_is_enabled_called_for_and_of_different_arms(paths, candidates, risk):
    found = eligible("g", paths, candidates, risk)
    keys = [path.arm.key for path in found]
    assert len(set(keys)) == len(keys)
    for path in found:
        assert path.is_enabled
        assert candidates is None or path.model_id in candidates
        assert path in paths or path.model_id not in {known.model_id for known in paths}
    usable = [p for p in paths if p.is_enabled and (candidates is None or p.model_id in candidates)]
    assert found or not usable


@pytest.mark.parametrize(
    ("category", "reason", "wanted"),
    [
        ("timeout", "", "timeout"),
        (" Timeout ", "", "timeout"),
        ("", "provider_error: RateLimitError", "rate_limited"),
        ("", "provider_error: APITimeoutError", "timeout"),
        ("", "provider_error: AuthenticationError", "auth_error"),
        ("", "provider_error: InternalServerError", "provider_error"),
        ("", "provider_error: KeyError", "provider_error"),
        ("", "quality_fail_after_repair", "validation_failed"),
        ("", "user rejected output", "user_unsatisfied"),
        ("something_else", "", "unknown"),
        ("", "", ""),
    ],
)
def test_a_failure_has_a_category_also_where_none_is_sent(category, reason, wanted):
    assert category_of(category, reason) == wanted


def test_of_metadata_only_numbers_are_kept():
    given = {"rows": 3, "ok": True, "who": "me", "note": ["x"], "a b": 1, "ratio": 0.5}
    assert facts_of(given) == {"rows": 3.0, "ok": True, "ratio": 0.5}


@given(st.dictionaries(st.sampled_from(list(OutcomeBody.model_fields)), JSON))
def test_an_outcome_of_any_values_can_be_read(body):
    outcome = OutcomeBody.model_validate(body)
    assert outcome.score is None or 0 <= outcome.score <= 1
    assert outcome.success in (None, True, False)


@given(st.dictionaries(st.sampled_from(list(PathBody.model_fields)), JSON))
def test_a_path_of_any_values_can_be_read(body):
    assert PathBody.model_validate(body).risk_level in ("low", "medium", "high")


@given(st.dictionaries(st.sampled_from(list(SignalBody.model_fields)), JSON))
def test_a_signal_of_any_values_can_be_read(body):
    SignalBody.model_validate(body)


KINDS = st.sampled_from(
    ["user_accepted", "user_rejected", "acceptance", "rejection", "retry", "abandonment",
     "output_copied", "edit_large", "action_share", "session_end", "nobody knows", "x"]
)  # fmt: skip
SHARES = st.none() | st.floats(0, 1)
SAID = st.builds(
    SaidSignal, KINDS,
    st.sampled_from(["", "downstream", "user_explicit", "user_implicit", "pipeline", "other"]),
    SHARES, SHARES, st.sampled_from(["", "closing", "widening", "flat"]),
    is_session_end=st.booleans(),
)  # fmt: skip


@given(SAID)
def test_every_signal_says_something_in_range(said):
    found = evidence_of(said, "0" * 32, 1_000_000)
    assert 0 <= found.strength <= 1
    assert 0 <= found.confidence <= 1
    assert said.confidence is None or found.confidence <= said.confidence
    assert found == evidence_of(said, "0" * 32, 1_000_001)._replace(at_ms=1_000_000)


@given(SAID)
def test_the_end_of_a_session_is_never_more_than_a_guess(said):
    found = evidence_of(said, "0" * 32, 0)
    if said.is_session_end or said.kind == "session_end":
        assert found.source is Source.INFERRED
        assert found.confidence <= 0.4


@given(SAID)
def test_a_rejection_never_speaks_well_of_an_answer(said):
    found = evidence_of(said, "0" * 32, 0)
    if said.kind in ("user_rejected", "rejection"):
        assert found.strength < 0.5
    if said.kind in ("user_accepted", "acceptance"):
        assert found.strength > 0.5 or found.confidence == 0


def test_an_anchor_says_nothing_of_the_answer():
    assert evidence_of(SaidSignal("pipeline_anchor", "pipeline", 0.5, 1.0), "0" * 32, 0) is None


# Spans and capsules.


@given(EVENTS)
def test_a_span_of_any_values_is_read_or_passed_over(event):
    span = span_of(event, NOW_NS)
    if span is None:
        return
    assert 0 <= span.started_unix_ns <= NOW_NS + 86_400 * 10**9
    assert span.cost_usd is None or span.cost_usd > 0
    shown = json.dumps(span.as_json(), allow_nan=False)
    assert "metadata" not in json.loads(shown)


@given(EVENTS)
def test_a_capsule_of_any_values_is_read_or_passed_over(body):
    capsule = capsule_of(body, NOW_NS)
    if capsule is not None:
        shown = reconstructed(capsule.trace_id, [capsule], (), NOW_NS)
        json.dumps(shown, allow_nan=False)
        assert shown["hop_count"] == len(capsule.hops) == len(shown["events"])


def test_what_the_exporter_sends_beyond_its_schema_is_read():
    span = span_of(
        {"trace_id": "a" * 32, "span_id": "b" * 16, "parent_id": "c" * 16, "provider": "openai",
         "model_id": "gpt-4o", "goal": "birds", "environment": "production", "status": "error",
         "error_type": "RateLimitError", "error_message": "for user me@example.com",
         "cost_usd": 0.0, "input_tokens": 0, "output_tokens": 0, "duration_ms": 12,
         "ts_start": "2026-11-01T00:00:00+00:00"},
        NOW_NS + 10**18,
    )  # fmt: skip
    assert (span.parent_span_id, span.goal, span.environment) == ("c" * 16, "birds", "production")
    # What rounding left, and what was not known, is not nothing.
    assert (span.cost_usd, span.input_tokens, span.output_tokens) == (None, None, None)
    assert "me@example.com" not in repr(span)


def test_money_is_as_it_was_written():
    span = span_of({"trace_id": "t", "cost_usd": 0.1, "total_cost_usd": None}, NOW_NS)
    assert span.cost_usd == Decimal("0.1")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1_760_000_000, 1_760_000_000 * 10**9),
        (1_760_000_000_500, 1_760_000_000_500 * 10**6),
        ("2025-10-09T08:53:20Z", 1_760_000_000 * 10**9),
        ("2025-10-09T08:53:20", 1_760_000_000 * 10**9),
        ("yesterday", None), (None, None), (True, None), (float("nan"), None),
    ],
)  # fmt: skip
def test_times_are_read_in_the_forms_that_are_sent(value, wanted):
    assert moment_of(value) == wanted


@given(st.dictionaries(st.text(), JSON), st.binary(min_size=1))
def test_the_signature_is_of_the_spaced_form_of_what_is_sent(body, key):
    import hmac

    plain = json.loads(json.dumps(body, allow_nan=True), parse_constant=lambda _: None)
    sent = json.dumps(plain, separators=(",", ":")).encode()
    signature = hmac.new(key, json.dumps(plain).encode(), "sha256").hexdigest()
    assert is_signed(sent, signature, key)
    assert not is_signed(sent, signature, key + b"x")
