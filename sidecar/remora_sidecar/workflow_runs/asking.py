"""Asks a model for a run, through the sidecar's own proxy, as any agent's call goes.

So policy, keys, budgets, the cache, records and receipts hold for it as well.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

import aiohttp

from remora.providers import Provider
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.model.exchange import AnswerHead
from remora_sidecar.openai_api.asked import Asked
from remora_sidecar.openai_api.carried import carried_of
from remora_sidecar.openai_api.choosing import Choosing
from remora_sidecar.openai_api.health import Health
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.openai_api.plan import Leg, NoModels
from remora_sidecar.openai_api.surface import CHAT
from remora_sidecar.openai_api.way import OwnWay, sent_headers
from remora_sidecar.workflow_runs.caller import Caller
from remora_sidecar.workflow_runs.failing import FailureKind, failure_of
from remora_sidecar.workflow_runs.heard import Heard, Said
from remora_sidecar.workflow_runs.receipts import Receipts, Slip, span_of
from remora_sidecar.workflow_runs.wording.abilities import abilities
from remora_sidecar.workflow_runs.wording.attachments import WordingError
from remora_sidecar.workflow_runs.wording.request import Worded, surface_of, worded
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.inputs import Answered, Failed, Held
from remora_sidecar.workflows.question import Question

_MAX_ERROR_BYTES: Final = 64 * 1024
_BILL_S: Final = 5.0
"""For the bill of a call that is over, which comes with its end."""

_ABOUT_THE_REQUEST: Final = frozenset({"bad_request", "too_large"})
"""Failures that say nothing of how a model is."""

_UNREACHABLE: Final = FailureKind(
    "provider_error", "the sidecar's own proxy takes no connection", may_retry=True, may_move=False
)

type Outcome = Answered | Failed | Held


class Asking:
    """Asks models; used on one event loop."""

    def __init__(self, parts: EngineParts, offers: Offers, way: OwnWay, receipts: Receipts) -> None:
        """Take what calls need.

        Args:
            parts: Of the engine.
            offers: Knows which models may be asked.
            way: To the sidecar's own proxy.
            receipts: Hears of what calls took.
        """
        self._parts = parts
        self._offers = offers
        self._way = way
        self._receipts = receipts
        self._choosing = Choosing(parts, offers)
        self._health = Health(parts)

    def awaited(self, key: str, caller: Caller) -> AbstractContextManager[Slip]:
        """Wait for the bill of an ask from now on; to be entered before `ask`."""
        return self._receipts.awaited(caller.trace_id, span_of(caller.execution_id, key))

    async def ask(self, key: str, question: Question, caller: Caller, slip: Slip) -> Outcome:
        """Ask, and say what came of it; never raises but when it is cancelled."""
        leg = self._leg(question, caller)
        if isinstance(leg, FailureKind):
            return _failed(key, leg, None)
        try:
            words = self._worded(question, leg)
        except WordingError as error:
            return _failed(key, _no_model(str(error)), None)
        try:
            outcome = await self._sent(words, leg, key, question, caller)
        except aiohttp.ClientConnectorError:
            return _failed(key, _UNREACHABLE, None)
        except (aiohttp.ClientError, OSError) as error:
            what = f"{leg.provider.name} could not be asked: {type(error).__name__}"
            outcome = FailureKind("provider_error", what, may_retry=True, may_move=True)
        bill = slip.bill or await slip.within(_BILL_S)
        self._tell_health(leg, slip, outcome)
        if isinstance(outcome, FailureKind):
            return _failed(key, outcome, bill)
        return _answered(key, outcome, bill, leg)

    # whom

    def _leg(self, question: Question, caller: Caller) -> Leg | FailureKind:
        """Find who is asked; a model that no list knows goes where such names go."""
        target = question.target
        if not target.provider:
            plan = self._choosing.plan(Asked(CHAT, target.model, b"", {}), caller.key)
            if isinstance(plan, NoModels):
                return _no_model(plan.refusal.message)
            return plan.legs[0]
        provider = self._offers.provider(target.provider)
        if provider is None:
            return _no_model(f"policy intercepts no provider named {target.provider!r}")
        was_named = question.wish.role.model is not None
        surface = surface_of(provider)
        why = self._offers.why_not(surface, provider, target.model, caller.key, was_named=was_named)
        if why:
            return _no_model(f"{target.name} can't be asked: {why}")
        return Leg(provider, target.model)

    def _worded(self, question: Question, leg: Leg) -> Worded:
        """Word it for the model as its provider knows it; raises WordingError."""
        target = replace(question.target, provider=leg.provider.name, model=leg.model)
        can = abilities(leg.provider.name, leg.model, self._offers.overrides)
        return worded(replace(question, target=target), leg.provider, can)

    # the call

    async def _sent(
        self, words: Worded, leg: Leg, key: str, question: Question, caller: Caller
    ) -> Said | FailureKind:
        headers = sent_headers(
            list(words.headers.items()),
            leg.provider,
            words.surface,
            caller.key.text if self._may_carry(leg, question, caller) else None,
            caller.stated(key, question) | _freshness(question),
        )
        session = caller.key.session
        session_id = session.session_id if session.is_named else ""
        async with await self._way.post(
            leg.provider, words.surface, words.body, headers, session_id
        ) as answer:
            if answer.status != 200:
                return await _refused(answer, leg.provider)
            return await _heard(answer, words)

    def _may_carry(self, leg: Leg, question: Question, caller: Caller) -> bool:
        plan = self._parts.policy.rulebook.key_plan(leg.provider)
        was_named = question.wish.role.model is not None
        return caller.key.may_go_to(leg.provider.name, was_named=was_named) and not plan.strip

    def _tell_health(self, leg: Leg, slip: Slip, outcome: Said | FailureKind) -> None:
        """Say how the model did, unless the failure says nothing of it."""
        failed = isinstance(outcome, FailureKind)
        if isinstance(outcome, FailureKind) and not _is_fault(outcome):
            return
        if slip.record is not None:
            self._health.tell(leg, carried_of(slip.record), failed=failed)


def _freshness(question: Question) -> dict[str, str]:
    """Have no kept answer where another one is wanted than was given before."""
    step = question.wish.step
    is_asked_again = question.attempt > 1
    asks_one_model_often = step.strategy.kind == "parallel" and step.model is not None
    return {"Cache-Control": "no-cache"} if is_asked_again or asks_one_model_often else {}


def _is_fault(kind: FailureKind) -> bool:
    return kind.may_move and not kind.is_held and kind.code not in _ABOUT_THE_REQUEST


async def _refused(answer: aiohttp.ClientResponse, provider: Provider) -> FailureKind:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MAX_ERROR_BYTES:
            break
    return failure_of(answer.status, parse_json(bytes(body)), provider.name)


async def _heard(answer: aiohttp.ClientResponse, words: Worded) -> Said | FailureKind:
    heard = Heard(AnswerHead(answer.status, answer.raw_headers), words.surface.dialect)
    async for chunk in answer.content.iter_any():
        heard.feed(chunk)
        if heard.is_too_long:
            break
    said = heard.finish()
    if said.problem:
        return FailureKind("unreadable", said.problem, may_retry=True, may_move=True)
    return said


def _no_model(why: str) -> FailureKind:
    return FailureKind("no_model", why, may_retry=False, may_move=True)


def _failed(key: str, kind: FailureKind, bill: Bill | None) -> Outcome:
    if kind.is_held:
        return Held(key)
    return Failed(
        key, kind.code, kind.message, bill, may_retry=kind.may_retry, may_move=kind.may_move
    )


def _answered(key: str, said: Said, bill: Bill | None, leg: Leg) -> Answered:
    """Say what was answered; a bill that did not come leaves its figures unknown."""
    bill = bill or Bill("", leg.provider.name, leg.model, None, None, None)
    return Answered(key, "" if said.is_refused else said.text, bill, said.was_cut)
