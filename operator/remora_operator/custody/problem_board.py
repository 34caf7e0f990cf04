"""What is wrong now, by what found it; each is logged when it comes and when it goes."""

import logging
from collections.abc import Mapping, Sequence

from remora.errors import Problem

logger = logging.getLogger(__name__)

_SHOWN = 10


class ProblemBoard:
    """The problems of one custodian."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[str, tuple[Problem, ...]] = {}

    def report(self, part: str, problems: Sequence[Problem]) -> None:
        """Replace what a part found before."""
        before, now = frozenset(self._found.get(part, ())), tuple(dict.fromkeys(problems))
        for problem in now:
            if problem not in before:
                logger.warning("%s", problem)
        for problem in before.difference(now):
            logger.info("no longer so: %s", problem)
        self._found[part] = now

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, the first few of each part in full."""
        return tuple(problem for found in self._found.values() for problem in _shortened(found))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many each part found."""
        return {part: len(found) for part, found in self._found.items()}

    def clear(self, part: str) -> None:
        """Forget what a part found that does not look any more."""
        self._found.pop(part, None)


def _shortened(found: tuple[Problem, ...]) -> tuple[Problem, ...]:
    if len(found) <= _SHOWN:
        return found
    more = Problem(found[_SHOWN].where, f"and {len(found) - _SHOWN} more")
    return (*found[:_SHOWN], more)
