"""Which routes no call can reach. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from remora.policy.globs import Glob
from remora.policy.routing import PROMPT_OPERATIONS, Route, RouteMatch
from remora.policy.spec import CallRules


@dataclass(frozen=True)
class ShadowedRoute:
    """A route that never has a call.

    Attributes:
        index: Its place among the routes.
        name: Its name.
        by: Name of the earlier route that takes all that it would take.
    """

    index: int
    name: str
    by: str

    @property
    def where(self) -> str:
        """The path of the route."""
        return f"routes[{self.index}]"

    @property
    def what(self) -> str:
        """What is the matter with it, and what to do."""
        return (
            f"route {self.name!r} never has a call, since {self.by!r} before it takes all that it "
            "takes: put it first, or remove it"
        )


def shadowed_routes(rules: CallRules) -> Iterator[ShadowedRoute]:
    """Find the routes that no call reaches.

    What is found is certain; where several earlier routes take all only together, it is not
    found.
    """
    for index, route in enumerate(rules.routes):
        earlier = next((r for r in rules.routes[:index] if _takes_all_of(r.match, route)), None)
        if earlier is not None:
            yield ShadowedRoute(index, route.name, earlier.name)


def _takes_all_of(match: RouteMatch, route: Route) -> bool:
    return (
        match.condition is None
        and _operations(route.match) <= _operations(match)
        and (not match.models or _cover(match.models, route.match.models))
    )


def _operations(match: RouteMatch) -> frozenset[str]:
    return frozenset(match.operations) or PROMPT_OPERATIONS


def _cover(wide: tuple[Glob, ...], narrow: tuple[Glob, ...]) -> bool:
    names = narrow or (Glob("*"),)
    return all(any(glob.covers(name) for glob in wide) for name in names)
