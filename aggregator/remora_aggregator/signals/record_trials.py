"""Which trials a call's record tells of. Pure."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from remora.learning.arms import Arm, Scalar
from remora.learning.evidence import Evidence, Source
from remora.learning.signals import MEANINGS
from remora.outcomes.categories import CATEGORIES, category_of
from remora.wire_money import usd_of
from remora_aggregator.signals.names import is_goal
from remora_aggregator.signals.trial import ArmTrial
from remora_proto.v1 import records_pb2 as pb

MOST_ARMS: Final = 32
"""So many arms one call has trials at: no policy tries more, and no record may tell of more."""

AHEAD_MS: Final = 86_400_000
"""A sidecar's clock that is further ahead than this is not believed."""

_NS_PER_MS: Final = 1_000_000
_ERROR: Final = MEANINGS["provider_error"]
_NOT_THE_ARMS: Final = ("", "request")
"""What an attempt's `failure` says where it is not the arm's."""
_CUT_BY_US: Final = (pb.END_REASON_CLIENT_GONE, pb.END_REASON_STOPPED)


def trials_of(record: pb.CallRecord, received_unix_ns: int) -> tuple[ArmTrial, ...]:
    """Tell the trials of a call: one at the arm that answered, one at each that failed before.

    Args:
        record: Fit to be stored.
        received_unix_ns: When it came: no call began long after.
    """
    if record.end_reason == pb.END_REASON_REFUSED or record.opaque:
        return ()
    return tuple(_trials(record, received_unix_ns))


def has_goal(record: pb.CallRecord) -> bool:
    """Tell whether a record's trials are counted without a signal."""
    return is_goal(record.attribution.goal)


def _trials(record: pb.CallRecord, received_unix_ns: int) -> Iterator[ArmTrial]:
    answer = _answer_arm(record)
    if not answer.model:
        return
    failed = _failed(record, answer.key)
    decided = _arm_of(record.attempts[0]).key if record.attempts else answer.key
    common = _Common(record, received_unix_ns)
    yield common.answer(answer, has_propensity=decided == answer.key)
    for attempts in failed:
        arm = _arm_of(attempts[0])
        yield common.failure(arm, attempts, has_propensity=decided == arm.key)


def _failed(record: pb.CallRecord, answer: str) -> list[list[pb.Attempt]]:
    """Give the attempts that failed before the answer, by arm; of other arms than that."""
    by_arm: dict[str, list[pb.Attempt]] = {}
    for attempt in record.attempts[:-1]:
        key = _arm_of(attempt).key
        if key != answer and attempt.model and _has_failed(attempt):
            by_arm.setdefault(key, []).append(attempt)
    return list(by_arm.values())[: MOST_ARMS - 1]


def _has_failed(attempt: pb.Attempt) -> bool:
    if attempt.failure:
        return attempt.failure not in _NOT_THE_ARMS
    return attempt.HasField("error") or not attempt.status_code or attempt.status_code >= 500


class _Common:
    """What all trials of a record have in common."""

    def __init__(self, record: pb.CallRecord, received_unix_ns: int) -> None:
        self._record = record
        latest_ms = received_unix_ns // _NS_PER_MS + AHEAD_MS
        self._at_ms = min(record.started_unix_nano // _NS_PER_MS, latest_ms)
        self._ended_ms = self._at_ms + _milliseconds(record.latency_s)

    def answer(self, arm: Arm, *, has_propensity: bool) -> ArmTrial:
        record = self._record
        is_cut = record.end_reason in _CUT_BY_US
        is_measured = not record.cached
        # The same answer again says nothing new of its arm, until somebody says something of it.
        is_judged = is_measured and not is_cut
        evidence, category = self._judged() if is_judged else (None, "")
        return self._trial(
            arm,
            evidence,
            category,
            cost_usd=_usd(record.cost.total_usd) if is_measured else None,
            latency_ms=_latency_ms(record) if is_measured and not is_cut else None,
            has_propensity=has_propensity and is_measured,
        )

    def failure(
        self, arm: Arm, attempts: Sequence[pb.Attempt], *, has_propensity: bool
    ) -> ArmTrial:
        # How long a failure took says nothing of how long answers take.
        return self._trial(
            arm,
            self._error(),
            _category(attempts[-1]),
            cost_usd=_sum_of(_usd(attempt.cost.total_usd) for attempt in attempts),
            latency_ms=None,
            has_propensity=has_propensity,
            is_answer=False,
        )

    def _trial(
        self,
        arm: Arm,
        evidence: Evidence | None,
        category: str,
        *,
        cost_usd: Decimal | None,
        latency_ms: float | None,
        has_propensity: bool,
        is_answer: bool = True,
    ) -> ArmTrial:
        record, who = self._record, self._record.attribution
        propensity, arms = _chance(record.receipt) if has_propensity else (None, ())
        return ArmTrial(
            call_id=record.call_id,
            goal=who.goal if is_goal(who.goal) else "",
            arm=arm,
            at_ms=self._at_ms,
            workload=record.origin.workload,
            is_answer=is_answer,
            inferred=evidence,
            failure_category=category,
            cost_usd=cost_usd,
            latency_ms=latency_ms,
            propensity=propensity,
            arms=arms,
            rule=record.receipt.rule,
            requested_model=record.requested_model,
            session_id=who.session_id,
            task_id=who.task_id,
        )

    def _judged(self) -> tuple[Evidence | None, str]:
        """Say what the sidecar could tell of the answer, and why it was no good."""
        record = self._record
        if record.HasField("outcome"):
            found = record.outcome
            if not (_is_share(found.strength) and _is_share(found.confidence)):
                return None, ""
            category = found.failure_category
            evidence = self._evidence(found.kind, found.strength, found.confidence)
            return evidence, category if category in CATEGORIES else ""
        last = record.attempts[-1] if record.attempts else None
        if last is None or last.failure in _NOT_THE_ARMS:
            return None, ""
        return self._error(), _category(last)

    def _error(self) -> Evidence:
        return self._evidence("provider_error", _ERROR.strength, _ERROR.confidence)

    def _evidence(self, kind: str, strength: float, confidence: float) -> Evidence:
        return Evidence(Source.INFERRED, strength, confidence, self._ended_ms, "", kind)


def _answer_arm(record: pb.CallRecord) -> Arm:
    model = record.sent_model or record.response_model or record.requested_model
    parameters = record.attempts[-1].parameters if record.attempts else ""
    return arm_of(record.provider, model, parameters)


def _arm_of(attempt: pb.Attempt) -> Arm:
    return arm_of(attempt.provider, attempt.model, attempt.parameters)


def arm_of(provider: str, model: str, parameters: str) -> Arm:
    """Make an arm of a JSON object of parameters; what is none, or is too long, counts as none."""
    return Arm(provider, model, _parameters(parameters))


def _parameters(text: str) -> dict[str, Scalar]:
    if not text or len(text) > _MOST_CHARACTERS:
        return {}
    try:
        found = json.loads(text.replace("\0", ""))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: _scalar(value) for name, value in found.items()}


_MOST_CHARACTERS: Final = 20_000


def _scalar(value: object) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _chance(receipt: pb.Receipt) -> tuple[float | None, tuple[str, ...]]:
    """Give the chance of what was chosen, and the keys of all that might have been."""
    chance = receipt.propensity if receipt.HasField("propensity") else None
    if chance is None or not 0 < chance <= 1:
        return None, ()
    could = (each for each in receipt.candidates if not each.filtered_out_by)
    keys = (arm_of(each.provider, each.model, each.parameters).key for each in could)
    return chance, tuple(dict.fromkeys(keys))[:MOST_ARMS]


def _category(attempt: pb.Attempt) -> str:
    error = attempt.error
    return category_of(attempt.status_code, error.type, attempt.failure, error.message)


def _latency_ms(record: pb.CallRecord) -> float | None:
    """Of the answer alone, where others were tried before."""
    seconds = record.latency_s
    if len(record.attempts) > 1 and _is_span(record.attempts[-1].duration_s):
        seconds = record.attempts[-1].duration_s
    return seconds * 1000 if _is_span(seconds) else None


def _is_span(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 < seconds < 10**7


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000) if _is_span(seconds) else 0


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def _usd(text: str) -> Decimal | None:
    try:
        return usd_of(text) if text else None
    except InvalidOperation:
        return None


def _sum_of(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None
