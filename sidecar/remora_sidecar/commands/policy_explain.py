"""What `remora policy explain` asks: what a policy makes of a call, decided as the engine does.

Nothing is sent or spent, and nobody has failed: budgets, rates and breakers are new.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from remora.cli.policy_question import (
    CacheForecast,
    ForeseenRefusal,
    Patience,
    PolicyAnswer,
    PolicyQuestion,
    Stop,
)
from remora.errors import UpstreamError
from remora_sidecar.cache.directives import read_directives
from remora_sidecar.cache.rules import CacheRules, before
from remora_sidecar.commands.unsent_call import UnsentCall, target_of, unsent_call
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.course import Course, Pace
from remora_sidecar.engine.key_use import whose_key, with_key_of
from remora_sidecar.engine.keys import Keys
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.own_prices import own_prices
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.refusal import too_large
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.engine.situation import Situation
from remora_sidecar.engine.steering import Refused, Steering, learns
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.redaction import url_without_credentials
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy import PolicySnapshot, snapshot_from_effective
from remora_sidecar.score_file import ScoreFile
from remora_sidecar.settings import SidecarSettings, read_settings
from remora_sidecar.steering_opening import open_steering

_NOTHING_SPENT = "budgets and rates are asked as if no call had been made before"
_KNOWN = (
    "learned routing decides anew for each call; here for the goal {!r} by the scores kept last"
)
_UNKNOWN = "learned routing decides anew for each call; no scores are kept of the goal {!r}"
_ADDED = "providers that were added to a running sidecar are not looked at"


class _At(NamedTuple):
    """A clock that stands: a question is asked at one moment."""

    unix_ns: int

    def now_unix_ns(self) -> int:
        return self.unix_ns

    def monotonic_s(self) -> float:
        return 0.0


def answer(question: PolicyQuestion) -> PolicyAnswer:
    """Decide about a call that nobody sends.

    Raises:
        ConfigError: The settings can't be used.
        BadRequest: The request's URL is none.
    """
    settings = _settings(question)
    snapshot = snapshot_from_effective(question.policy)
    call = unsent_call(question, snapshot, settings.held_body_bytes)
    known = _known(question, call, snapshot)
    if call is None:
        return known
    clock, notes = _At(question.asked_unix_ns), list(call.notes)
    course = _course(call, snapshot, _steering(settings, snapshot, clock), notes, clock)
    if snapshot.rulebook.rules.budgets or snapshot.rulebook.rules.rates:
        notes.append(_NOTHING_SPENT)
    known = replace(known, receipt=course.receipt(question.used), notes=tuple(notes))
    if isinstance(course, Refused):
        return replace(known, refusal=_foreseen(course.refusal, call))
    keys = Keys(settings.secrets_dir, os.environ, clock)  # noqa: TID251 - policy names them
    stops = tuple(_Stops(call, snapshot, keys, clock).of(course.legs))
    return replace(
        known,
        stops=stops,
        patience=_patience(course.pace),
        cache=_cache(call, course.legs[0].leg, snapshot) if stops[0].url else None,
    )


def _known(
    question: PolicyQuestion, call: UnsentCall | None, snapshot: PolicySnapshot
) -> PolicyAnswer:
    """Say what is known of a request before policy is asked; None is no provider's call."""
    asked = question.request
    answer = PolicyAnswer(asked.method, url_without_credentials(target_of(asked.url).url))
    if call is None:
        return replace(answer, notes=(_ADDED,))
    return replace(
        answer,
        provider=call.own.provider.name,
        dialect=call.dialect.name,
        operation=call.own.request.operation,
        model=call.own.model,
        capture=snapshot.capture,
    )


def _settings(question: PolicyQuestion) -> SidecarSettings:
    settings = read_settings()
    if question.labels is None:
        return settings
    return settings.model_copy(update={"labels": question.labels})


def _steering(settings: SidecarSettings, snapshot: PolicySnapshot, clock: _At) -> Steering:
    prices = PriceBook()
    prices.use_own(own_prices(snapshot.effective.providers))
    steering = open_steering(settings, snapshot.rulebook.rules, clock, prices, EngineMetrics())
    ScoreFile(settings.data_dir, steering.routers.learned.book).load()
    return steering


def _course(
    call: UnsentCall, snapshot: PolicySnapshot, steering: Steering, notes: list[str], clock: _At
) -> Course | Refused:
    """Ask policy as the engine does, of a body too large to be read as well."""
    rulebook = snapshot.rulebook
    if call.unread_over is not None and not snapshot.opaque_allowed:
        return Refused(too_large(call.unread_over), lambda _: rulebook.receipt)
    situation = Situation(
        rulebook=rulebook,
        own=call.own,
        dialect=call.dialect,
        attribution=call.attribution,
        view=RequestView(call.own.head, call.own.body),
        sealed=call.sealed,
        session=call.session,
        note=notes.append,
        pod=steering.pod,
        now_unix_ns=clock.unix_ns,
        condition_failed=steering.condition_failed,
        goal=call.attribution.goal,
        risk=call.risk or "low",
    )
    course = steering.course(situation)
    if (route := situation.route) is not None and learns(route):
        digest = course.receipt(None).scores
        notes.append(_KNOWN.format(situation.goal) if digest else _UNKNOWN.format(situation.goal))
    return course


def _foreseen(refusal: Refusal, call: UnsentCall) -> ForeseenRefusal:
    """Tell a refusal with the status that the caller's dialect gives it."""
    status = call.dialect.refuse(refusal, "").status
    return ForeseenRefusal(status, refusal.code, refusal.message)


def _patience(pace: Pace) -> Patience:
    limits = pace.limits
    return Patience(
        tries=pace.tries,
        first_pause_s=pace.first_pause_s,
        longest_pause_s=pace.longest_pause_s,
        connect_s=limits.connect_s,
        first_byte_s=limits.first_byte_s,
        idle_s=limits.idle_s,
        total_s=pace.total_s,
    )


@dataclass(frozen=True, slots=True)
class _Stops:
    """Where a call would go, each place with the key that it would carry there."""

    call: UnsentCall
    snapshot: PolicySnapshot
    keys: Keys
    clock: _At

    def of(self, options: Iterable[Option]) -> Iterator[Stop]:
        for option in options:
            plan = self.snapshot.rulebook.key_plan(option.provider)
            stop = Stop(option.provider.name, option.model, url="", key=whose_key(plan))
            try:
                stop = replace(stop, url=url_without_credentials(option.leg.target.url))
                self._key(option.leg)
            except UpstreamError as error:
                stop = replace(stop, problem=str(error))
            yield stop

    def _key(self, leg: Leg) -> None:
        """Put the key in as for sending, and let go of what comes of it.

        Raises:
            UpstreamError: There is none that may be sent.
        """
        target = leg.target
        request = Outgoing(
            endpoint=Endpoint(target.host, target.port, target.scheme == "https"),
            method=leg.head.method,
            target=target.origin_form,
            headers=leg.head.headers,
            body=HeldBody(leg.body),
        )
        with_key_of(
            self.snapshot.rulebook.key_plan(leg.provider),
            request,
            leg.provider,
            self.keys,
            dialect=self.call.dialect.name,
            now_unix_ns=self.clock.unix_ns,
        )


def _cache(call: UnsentCall, leg: Leg, snapshot: PolicySnapshot) -> CacheForecast | None:
    """Foresee what the cache does; None where policy has none, or nothing is read."""
    policy = snapshot.cache
    if policy is None or call.unread_over is not None:
        return None
    directives = read_directives(leg.head.headers)
    rules = CacheRules(policy.reads, policy.writes, policy.sampling)
    plan = before(rules, leg.request, call.dialect.name, leg.body, directives)
    return CacheForecast(plan.look_up, plan.store, plan.reason)
