"""What can be told of answers without asking anybody: on the record, before its last byte leaves.

The text is looked at in memory, whatever policy captures, and dropped. What takes longer than an
answer's end may wait (`LONGEST_AT_ONCE`) is checked in a thread, and told as a signal.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from remora.outcomes.answer import Answer
from remora.outcomes.categories import category_of
from remora.outcomes.checks import evaluate, provider_error
from remora.outcomes.contracts import Contract
from remora.policy.routing import PROMPT_OPERATIONS
from remora.records import CallError, CallRecord, EndReason, Outcome
from remora_sidecar.dialects.answer_text import AnswerText
from remora_sidecar.dialects.base import AnswerFacts
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.request_format import response_format
from remora_sidecar.dialects.request_messages import messages_of, opened
from remora_sidecar.engine.evaluating import AnswerWatch
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.sessions import Session
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.signals.contracts import Contracts

LONGEST_AT_ONCE: Final = 4 * 1024
"""Characters of an answer that are parsed at its end: some 3 ms at the most."""

_TELLING: Final = frozenset({EndReason.COMPLETED, EndReason.PROVIDER_CUT, EndReason.NO_ANSWER})
_OUR_OWN_ERRORS: Final = frozenset({"usage_unreadable"})
"""Of records whose answers are whole and may be good."""

_FORMATS: Final = (
    b'"response_format"', b'"responseMimeType"', b'"response_mime_type"', b'"format"',
    b'"responseSchema"', b'"response_schema"', b'"responseJsonSchema"', b'"output_format"',
)  # fmt: skip
"""Of these one is in every request that demands JSON; most have none, and are not parsed again."""


class Later(Protocol):
    """Checks answers after their records are written."""

    def check(self, record: CallRecord, answer: Answer, contract: Contract) -> bool:
        """Check an answer and tell it as a signal; False if there is no room for it."""
        ...


class Sampled(Protocol):
    """Takes answers that passed, some of which are judged."""

    def consider(self, record: CallRecord, request_body: bytes, text: str) -> None:
        """Judge an answer, if chance and policy have it so; never waits."""
        ...


class Evaluation:
    """The engine's evaluator.

    Attributes:
        told: Outcomes, by kind.
        unchecked: Answers too long to be checked at once, for which there was no room later.
    """

    def __init__(
        self,
        policy: Callable[[], PolicySnapshot],
        later: Later | None = None,
        judge: Sampled | None = None,
    ) -> None:
        """Take who says what answers have to be.

        Args:
            policy: Gives the policy in force.
            later: Checks what takes longer; None: it is not checked.
            judge: Takes answers that passed; None: nobody does.
        """
        self.told: dict[str, int] = {}
        self.unchecked = 0
        self._policy = policy
        self._later = later
        self._judge = judge
        self._contracts: Contracts | None = None

    def watch(self, head: AnswerHead, seen: Observation, session: Session) -> AnswerWatch | None:
        """Begin to look at an answer, if it is one of a model to a prompt."""
        request = seen.request
        is_prompt = request.operation in PROMPT_OPERATIONS and not request.reads_back
        if head.status != 200 or not is_prompt or session.is_own:
            return None
        return AnswerText(head, seen.dialect, stream=request.stream)

    def outcome(
        self,
        record: CallRecord,
        facts: AnswerFacts,
        seen: Observation,
        session: Session,
        watch: AnswerWatch | None,
    ) -> Outcome | None:
        """Say what is to be told of a call that ended."""
        if session.is_own or record.end_reason not in _TELLING:
            return None
        if _failed(record.error):
            found = _error_outcome(record)
        elif isinstance(watch, AnswerText) and not facts.pending:
            found = self._answered(record, seen, watch)
        else:
            found = None
        if found is not None:
            self.told[found.kind] = self.told.get(found.kind, 0) + 1
        return found

    def _answered(self, record: CallRecord, seen: Observation, watch: AnswerText) -> Outcome | None:
        contract = self._contract(record.attribution.goal)
        answer = _answer(record, seen.request_body, watch, contract)
        if not watch.is_readable:
            return None
        if contract.is_costly and len(answer.text) > LONGEST_AT_ONCE:
            if self._later is None or not self._later.check(record, answer, contract):
                self.unchecked += 1
            return None
        found = evaluate(answer, contract)
        is_good = found is not None and not found.failed_checks
        if is_good and self._judge is not None and not record.cached:
            self._judge.consider(record, seen.request_body, answer.text)
        return found

    def _contract(self, goal: str) -> Contract:
        signals = self._policy().effective.rules.signals
        if self._contracts is None or self._contracts.signals is not signals:
            self._contracts = Contracts(signals)
        return self._contracts.of(goal)


def _failed(error: CallError | None) -> bool:
    return error is not None and error.type not in _OUR_OWN_ERRORS


def _error_outcome(record: CallRecord) -> Outcome | None:
    """Tell of a provider's error; of a request that nobody could have answered nothing."""
    error, attempts = record.error, record.attempts
    failure = attempts[-1].failure if attempts else ""
    kind, message = ("", "") if error is None else (error.type, error.message)
    category = category_of(record.status_code, kind, failure, message)
    return None if category == "validation_failed" else provider_error(category)


def _answer(record: CallRecord, asked: bytes, watch: AnswerText, contract: Contract) -> Answer:
    said = watch.finish()
    return Answer(
        text=said.text,
        finish_reason=record.finish_reason,
        calls_tools=said.calls_tools,
        is_refused=said.is_refused,
        is_partial=said.is_partial,
        is_json_asked=_demands_json(asked),
        prompt_characters=prompt_characters(asked) if contract.needs_prompt else 0,
    )


def _demands_json(body: bytes) -> bool:
    if not any(name in body for name in _FORMATS):
        return False
    value = parse_json(body)
    return isinstance(value, dict) and response_format(opened(value)).startswith("json")


def prompt_characters(body: bytes) -> int:
    """Say how long what was asked is, in characters; 0 if it can't be read."""
    return sum(map(len, prompt_texts(body)))


def prompt_texts(body: bytes) -> Iterable[str]:
    """Give the texts of the messages of a request."""
    value = parse_json(body)
    asked = opened(value) if isinstance(value, dict) else {}
    return (message.text for message in messages_of(asked))
