"""What policy makes of a call before it is sent: refused, or a course to take."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from remora.clock import Clock
from remora.frozen import by_name
from remora.learning.decision import Risk
from remora.policy.routing import PROMPT_OPERATIONS, Candidate, Route
from remora.receipt import Receipt
from remora.records import Usage
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.budgeting import Budgeting, Held, RefusedFor
from remora_sidecar.engine.course import Course, Options, pace_of
from remora_sidecar.engine.decision import Decision
from remora_sidecar.engine.finishing import Finishing
from remora_sidecar.engine.goal import GoalRules
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.observation import Observation
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.refusal import (
    body_over_policy,
    model_denied,
    no_candidate,
    task_required,
)
from remora_sidecar.engine.router_plugins import RouterPluginError
from remora_sidecar.engine.session_router import Advice
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.situation import Situation
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.breakers import Breakers
from remora_sidecar.policy.condition_input import ConditionPod
from remora_sidecar.policy.latencies import Latencies
from remora_sidecar.policy.routers import Choice, Choosing, Offer, Routers
from remora_sidecar.policy.routes import Dropped, Sorted
from remora_sidecar.policy.rulebook import Rulebook

SESSION_ROUTER = "session"
"""What receipts call the router of a call's session, whatever it does."""

AskPlugin = Callable[[str, Situation], str | None]
"""Asks a router plugin, by its name, for a model."""


_situation, _choosing, _course = by_name(Situation), by_name(Choosing), by_name(Course)


class Refused(NamedTuple):
    """A call that may not be sent, and what tells why."""

    refusal: Refusal
    receipt: Callable[[Usage | None], Receipt]


@dataclass(slots=True)
class Steering:
    """Decides for every call, by the policy that was in force as it began.

    Attributes:
        latencies: How fast models answered.
        routers: Choose among candidates.
        breakers: Who is left alone.
        budgeting: Prices legs, and asks budgets and rates.
        ask_plugin: Asks routers that are not ours.
        chance: Draws from 0 to 1.
        pod: Where the calls come from.
        condition_failed: Called for each condition that could not be told.
        goal_rules: Tell what calls are for that nobody says it of.
    """

    clock: Clock
    latencies: Latencies
    routers: Routers
    breakers: Breakers
    budgeting: Budgeting
    ask_plugin: AskPlugin
    chance: Callable[[], float]
    pod: ConditionPod
    condition_failed: Callable[[], None]
    goal_rules: GoalRules = field(default_factory=GoalRules)

    def apply(self, rulebook: Rulebook) -> None:
        """Go by a changed policy; what was spent and who failed stays known where it applies."""
        rules = rulebook.rules
        self.routers.apply(rules.routes, across_namespaces=rulebook.across_namespaces)
        self.budgeting.ledger.apply(rules.budgets)
        self.budgeting.rates.apply(rules.rates)
        self.breakers.apply(rules.breaker)

    def situation(
        self,
        rulebook: Rulebook,
        own: Leg,
        dialect: Dialect,
        seen: Observation,
        session: Session,
        sealed: str,
        risk: Risk | None = None,
    ) -> Situation:
        """Gather what policy looks at in a call.

        Args:
            rulebook: In force as the call began.
            own: The call as the agent made it.
            dialect: The call's.
            seen: What is known of it, and where remarks go.
            session: Whose call it is.
            sealed: Why nothing in the request may change; empty if it may.
            risk: That the call states; None if it states none.
        """
        return _situation(
            rulebook=rulebook,
            own=own,
            dialect=dialect,
            attribution=seen.attribution,
            view=RequestView(own.head, own.body),
            sealed=sealed,
            session=session,
            note=seen.notes.append,  # not of `seen`: that holds the receipt, which holds this
            pod=self.pod,
            now_unix_ns=seen.started_unix_ns,
            condition_failed=self.condition_failed,
            goal=seen.attribution.goal,
            risk=risk or "low",
        )

    def finishing(self, course: Course) -> Finishing:
        """Give what takes the record of a call that took a course."""
        return Finishing(course.held, self.budgeting, self.latencies, self.clock)

    def leaves_open(self, situation: Situation) -> bool:
        """Tell whether policy lets a call go and no route has it: its session's router may."""
        return (
            situation.own.request.operation in PROMPT_OPERATIONS
            and _not_admitted(situation) is None
            and situation.route is None
        )

    def course(self, situation: Situation) -> Course | Refused:
        """Say where a call may go, or why nowhere."""
        decision = Decision(situation, self.budgeting)
        if (refusal := _not_admitted(situation)) is not None:
            return _refused(refusal, decision)
        route = decision.route = situation.route
        if route is not None and route.router is not None and learns(route):
            situation.learns_by(route.router, self.goal_rules)
        legs = self._legs(decision)
        course = legs if isinstance(legs, Refused) else self._paid(decision, legs)
        situation.view.let_go()  # a call may last for minutes, and only its receipt is still due
        return course

    def _legs(self, decision: Decision) -> Options | Refused:
        """Say where a call may go, in order, whatever it costs."""
        route, situation = decision.route, decision.situation
        if route is None or (route.router is None and not route.fallback):
            return self._as_asked(decision)
        if situation.sealed:
            situation.note(f"the route {route.name!r} left the call as it was: {situation.sealed}")
            return self._as_asked(decision)
        chosen = self._chosen(decision, route)
        fallback = self._fallback(decision, route)
        if chosen and not fallback:
            return chosen
        each_once = {option.key: option for option in (*chosen, *fallback)}
        return tuple(each_once.values()) or _nobody(decision, route)

    def _as_asked(self, decision: Decision) -> Options | Refused:
        situation = decision.situation
        if situation.advice is not None and decision.route is None:
            advised = _advised(decision, situation.advice)
            if advised is not None:
                return (advised,)
        if not situation.permits_own_model:
            return _refused(model_denied(situation.own.model, decision.policy), decision)
        return (situation.as_asked,)

    def _chosen(self, decision: Decision, route: Route) -> Options:
        """Let the router choose; without one, or if it leaves the call alone, it goes as asked."""
        situation = decision.situation
        if route.router is None:
            return situation.own_if_permitted
        found = self._well(situation.sorted(route.router.candidates))
        decision.router = route.router.policy
        decision.offers, decision.dropped = found
        if not found.offers:
            return ()
        choice = decision.choice = self._choice(situation, route, found)
        if choice.note:
            situation.note(f"the route {route.name!r}: {choice.note}")
        if choice.chosen is None:
            return situation.own_if_permitted
        return (situation.option_of(found.offers[choice.chosen]),)

    def _well(self, found: Sorted) -> Sorted:
        """Leave out who keeps failing, if anybody else is left."""
        now_s = self.clock.monotonic_s()
        if self.breakers.may_try_all([(o.provider.name, o.model) for o in found.offers], now_s):
            return found
        may_try = self.breakers.may_try
        well = [at for at, o in enumerate(found.offers) if may_try(o.provider.name, o.model, now_s)]
        if not well or len(well) == len(found.offers):
            return found
        left_alone = (o for at, o in enumerate(found.offers) if at not in well)
        dropped = (
            Dropped(o.provider.name, o.model, "circuit_open", o.parameters) for o in left_alone
        )
        return Sorted(tuple(found.offers[at] for at in well), (*found.dropped, *dropped))

    def _choice(self, situation: Situation, route: Route, found: Sorted) -> Choice:
        """Ask the router; what goes wrong in it never breaks the call."""
        assert route.router is not None  # noqa: S101 - the caller has looked
        situation.offers = found.offers
        choosing = _choosing(
            route=route.name,
            router=route.router,
            offers=found.offers,
            sticks_to=situation.sticks_to,
            price_usd=lambda offer: self.budgeting.estimate_usd(offer, situation),
            holds=lambda offer: situation.candidate_holds(offer.candidate),
            plugin=lambda name: self.ask_plugin(name, situation),
            now_s=self.clock.monotonic_s(),
            goal=situation.goal,
            risk=situation.risk,
        )
        try:
            return self.routers.choose(choosing)
        except RouterPluginError as error:
            return Choice(None, note=f"its router failed ({error}): unrouted")
        except Exception as error:  # noqa: BLE001 - a router is somebody else's code
            return Choice(None, note=f"its router failed ({type(error).__name__}): unrouted")

    def _fallback(self, decision: Decision, route: Route) -> Options:
        if not route.fallback:
            return ()
        found = decision.situation.sorted(route.fallback)
        decision.fallback = tuple(map(decision.situation.option_of, found.offers))
        decision.dropped = (*decision.dropped, *found.dropped)
        return decision.fallback

    def _paid(self, decision: Decision, legs: Options) -> Course | Refused:
        """Hold what the call may cost, if anything counts it."""
        situation, held = decision.situation, None
        rules = situation.rulebook.rules
        if (rules.budgets or rules.rates) and situation.names_models:
            found = self.budgeting.hold(situation, legs, decision.offers)
            decision.admission = found.admission
            if isinstance(found, RefusedFor):
                return _refused(found.refusal, decision)
            legs, held = found.legs, found.held
        decision.taken = legs[0]
        return _course(
            legs,
            decision.receipt,
            pace_of(decision.route),
            breakers=self.breakers if decision.route is not None else None,
            held=held,
            chance=self.chance,
            hold_more=self._hold_more(situation, held),
        )

    def _hold_more(
        self, situation: Situation, held: Held | None
    ) -> Callable[[Amount], bool] | None:
        """Ask strict budgets once more before each further try."""
        if held is None or not situation.rulebook.has_strict_budget:
            return None
        return lambda spent: self.budgeting.hold_more(held, spent)


def learns(route: Route) -> bool:
    """Tell whether what becomes of answers decides where a route's calls go."""
    return route.router is not None and route.router.policy == "learned"


def _not_admitted(situation: Situation) -> Refusal | None:
    rules, own = situation.rulebook.rules, situation.own
    policy = situation.rulebook.receipt.policy
    limit = rules.max_request_body
    if limit is not None and len(own.body) > limit.bytes:
        return body_over_policy(len(own.body), limit.bytes)
    if rules.require_task and not situation.attribution.task_id:
        return task_required(policy)
    return None


def _advised(decision: Decision, advice: Advice) -> Option | None:
    """Follow the session's router, if it named a model that may be asked for."""
    situation = decision.situation
    decision.router = SESSION_ROUTER
    if advice.note:
        situation.note(advice.note)
    if advice.model is None:
        return None
    provider, model = situation.own.provider, advice.model
    option = situation.option(provider, model)
    if option is not None and option.is_askable:
        decision.offers = (Offer(provider, model, Candidate(model=model)),)
        return option
    word, why = "model_denied", "policy does not permit"
    if option is not None:
        word, why = "request", "the request can't be made to ask for"
    decision.dropped = (Dropped(provider.name, model, word),)
    situation.note(f"the session's router named {model!r}, which {why}: unrouted")
    return None


def _refused(refusal: Refusal, decision: Decision) -> Refused:
    decision.refused_by = refusal.code
    return Refused(refusal, decision.receipt)


def _nobody(decision: Decision, route: Route) -> Refused:
    dropped = decision.dropped
    if all(one.filtered_out_by == "model_denied" for one in dropped):
        return _refused(model_denied(decision.situation.own.model, decision.policy), decision)
    said = ", ".join(f"{one.provider}/{one.model} ({one.filtered_out_by})" for one in dropped)
    return _refused(no_candidate(route.name, said), decision)
