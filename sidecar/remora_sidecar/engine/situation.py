"""One call as policy looks at it: who asks for what, and what may be changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from remora.learning.decision import Risk
from remora.policy.condition import BoundInputs, ConditionError
from remora.policy.routing import Candidate, Route, Router, Target
from remora.providers import Provider
from remora.records import Attribution
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.goal import GoalRules, higher
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.option import Option
from remora_sidecar.engine.session_router import Advice
from remora_sidecar.engine.sessions import Session
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.condition_input import ConditionPod, condition_inputs
from remora_sidecar.policy.routers import Offer
from remora_sidecar.policy.routes import Asked, Sorted
from remora_sidecar.policy.rulebook import Rulebook


@dataclass(slots=True)
class Situation:
    """What is known of a call when policy is asked.

    Attributes:
        rulebook: In force as the call began.
        own: The call as the agent made it.
        view: Its request, read as far as somebody asks.
        sealed: Why nothing of the request may change; empty if it may.
        session: Whose call it is.
        note: Takes remarks for the record.
        pod: Where the call comes from.
        now_unix_ns: When it began.
        condition_failed: Called for each condition that could not be told.
        offers: What a router may choose from, once one is asked.
        amounts: What the call is likely to use, by price list, model and parameters, as far as it
            was asked.
        advice: What the session's router made of the call; None where it was not asked.
        goal: What the call is for, as far as that is known; empty if it is not.
        risk: How much of learned routing the call lets chance decide; its route may say less.
    """

    rulebook: Rulebook
    own: Leg
    dialect: Dialect
    attribution: Attribution
    view: RequestView
    sealed: str
    session: Session
    note: Callable[[str], None]
    pod: ConditionPod
    now_unix_ns: int
    condition_failed: Callable[[], None]
    offers: tuple[Offer, ...] = ()
    advice: Advice | None = None
    goal: str = ""
    risk: Risk = "low"
    amounts: dict[tuple[str | None, str, str], Amount] = field(default_factory=dict)
    _routes: tuple[Route | None] | None = field(default=None, init=False)
    _inputs: BoundInputs | None = field(default=None, init=False)
    _built: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def asked(self) -> Asked:
        """What routes look at."""
        own, request = self.own, self.own.request
        return Asked(
            own.provider,
            self.dialect.name,
            request.operation,
            request.model,
            own.head.path,
            self.sealed,
        )

    @property
    def as_asked(self) -> Option:
        """The call as the agent made it."""
        return Option(self.own, self.dialect, self.own.provider, self.own.model)

    @property
    def permits_own_model(self) -> bool:
        """Whether the call may go as the agent made it."""
        return not self.names_models or self.rulebook.models.permits(self.own.model)

    @property
    def own_if_permitted(self) -> tuple[Option, ...]:
        """The call as it was made, if it may go so; else nothing."""
        return (self.as_asked,) if self.permits_own_model else ()

    def sorted(self, targets: Sequence[Target]) -> Sorted:
        """Sort a route's targets by whether they can be taken."""
        return self.rulebook.sieve.sorted(self.asked, targets)

    def option_of(self, offer: Offer) -> Option:
        """Take an offer."""
        return Option(self.own, self.dialect, offer.provider, offer.model, offer.parameters)

    def option(self, provider: Provider, model: str) -> Option | None:
        """Name another model; None where it can't be asked for."""
        if self.sealed or not self.rulebook.models.permits(model):
            return None
        return Option(self.own, self.dialect, provider, model)

    def learns_by(self, router: Router, rules: GoalRules) -> None:
        """Settle goal and risk for a route that learns: the router's go before the call's."""
        self.risk = higher(router.risk or "low", self.risk)
        self.goal = router.goal or self.goal or rules.goal_of(self.own.request.operation, self.view)

    @property
    def names_models(self) -> bool:
        """Whether a call of this operation asks a model for something."""
        return bool(self.own.model) or self.own.head.method == "POST"

    @property
    def route(self) -> Route | None:
        """The route that takes the call; None if none does. Conditions are asked once."""
        if self._routes is None:
            asked, routes = self.own.request, self.rulebook.routes
            self._routes = (routes.of(asked.operation, asked.model, self.route_holds),)
        return self._routes[0]

    def route_holds(self, route: Route) -> bool:
        """Tell whether the condition of a route holds."""
        text = route.match.condition
        return text is None or self._holds(text, f"route {route.name!r}")

    def candidate_holds(self, candidate: Candidate) -> bool:
        """Tell whether the condition of a candidate holds; none always does."""
        text = candidate.condition
        return text is None or self._holds(text, f"candidate {candidate.model!r}")

    def _holds(self, text: str, where: str) -> bool:
        condition = self.rulebook.conditions[text]
        try:
            return condition.holds(self._inputs_for(condition.needs))
        except ConditionError as error:
            self.condition_failed()
            self.note(f"the condition of {where} counts as false: {error}")
            return False

    def _inputs_for(self, needs: frozenset[str]) -> BoundInputs:
        """Build what conditions look at, no more of it than those asked so far need."""
        if self._inputs is None or not needs <= self._built:
            self._built |= needs
            self._inputs = BoundInputs(self._values())
        return self._inputs

    def _values(self) -> Mapping[str, object]:
        own = self.own
        return condition_inputs(
            self._built,
            self.view,
            provider=own.provider.name,
            dialect=self.dialect.name,
            operation=own.request.operation,
            model=own.model,
            stream=own.request.stream,
            headers=own.head.headers,
            attribution=self.attribution,
            pod=self.pod,
            now=datetime.fromtimestamp(self.now_unix_ns / 1e9, UTC),
        )

    def sticks_to(self, what: str) -> str:
        """Give what a sticky choice is kept for; empty where the call has none."""
        if what == "session":
            return self.attribution.session_id
        if what == "task":
            return self.attribution.task_id
        return self.view.conversation_key
