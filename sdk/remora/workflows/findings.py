"""What is wrong with a workflow's document, collected with where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from remora.errors import Problem
from remora.policy.yaml_source import SourceDocument, path_text

type Path = tuple[str | int, ...]


@dataclass(frozen=True)
class GivenDocument:
    """A document that a program gave, rather than a file.

    Attributes:
        value: The document as mappings, lists and scalars.
        name: What problems with the whole of it are said of.
    """

    value: object
    name: str = "workflow"

    def where(self, path: Sequence[str | int] = ()) -> str:
        """Return the path of a field; there are no lines."""
        return path_text(path) or self.name


@dataclass
class Findings:
    """Collects problems and warnings of one document."""

    source: SourceDocument
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, path: Path, what: str) -> None:
        """Note what makes the document unusable."""
        problem = Problem(self.source.where(path), what)
        if problem not in self.problems:
            self.problems.append(problem)

    def odd(self, path: Path, what: str) -> None:
        """Note what may stand, but was hardly meant."""
        self.warnings.append(Problem(self.source.where(path), what))
