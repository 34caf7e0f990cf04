"""What the references of a workflow lead to, known before anything runs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from remora.policy.problems import nearest
from remora.workflows.shapes import Nowhere, Place, items_of, place_of, walk
from remora.workflows.step import Step
from remora.workflows.templates import Reference

_TEXT = {"type": "string"}
_LIST = {"type": "array"}
_MEMBERS = ("output", "outputs", "status")
_ANYTHING = Place(None)


@dataclass(frozen=True)
class Vocabulary:
    """What may be referred to.

    Attributes:
        input_schema: Of the input; None: anything.
        steps: The steps by their ids; None for one of which nothing is known.
        items: Names of items, and what is known of them.
    """

    input_schema: object
    steps: Mapping[str, Step | None]
    items: Mapping[str, Place]

    def place(self, reference: Reference) -> Place | Nowhere:
        """Say what is known of what a reference leads to."""
        if reference.root in self.items:
            return walk(self.items[reference.root], reference.path)
        match reference.root:
            case "input":
                return walk(place_of(self.input_schema), reference.path)
            case "goal":
                return walk(place_of(self.input_schema), ("goal", *reference.path))
            case "steps":
                return self._of_step(reference.path)
            case _:
                return self._unknown(reference.root)

    def _unknown(self, root: str) -> Nowhere:
        known = ["goal", "input", "steps", *self.items]
        return Nowhere(f"{root!r} is not known here{nearest(root, known)}")

    def _of_step(self, path: tuple[str | int, ...]) -> Place | Nowhere:
        if not path or path[0] not in self.steps:
            name = str(path[0]) if path else ""
            return Nowhere(f"there is no step {name!r}{nearest(name, list(self.steps))}")
        if len(path) == 1 or path[1] not in _MEMBERS:
            return Nowhere(f"of a step there are {', '.join(_MEMBERS)}: say which")
        if path[1] == "status":
            return walk(place_of(_TEXT), path[2:])
        step = self.steps[str(path[0])]
        if step is None:
            return _ANYTHING
        return _outputs(step, path[2:]) if path[1] == "outputs" else _output(step, path[2:])


def answer_schema(step: Step) -> object:
    """Return the schema of one answer; None: any JSON."""
    return _TEXT if step.output.type == "text" else step.output.json_schema


def _output(step: Step, path: tuple[str | int, ...]) -> Place | Nowhere:
    if step.map is None:
        return walk(place_of(answer_schema(step)), path)
    if not path:
        return place_of(_LIST)
    if not isinstance(path[0], int):
        return Nowhere(f"step {step.id!r} is mapped: its output is a list, with items [0], [1], …")
    return walk(place_of(answer_schema(step)), path[1:])


def _outputs(step: Step, path: tuple[str | int, ...]) -> Place | Nowhere:
    if step.output.type == "text":
        return Nowhere(f"step {step.id!r} answers in text: it has output, and no outputs")
    if step.map is not None:
        return Nowhere(f"step {step.id!r} is mapped: its output is a list, it has no outputs")
    return walk(place_of(answer_schema(step)), path)


def items_in(vocabulary: Vocabulary, over: Reference) -> Place:
    """Say what is known of the items of a list that a reference leads to."""
    if over.root == "steps" and len(over.path) == 2 and over.path[1] == "output":
        step = vocabulary.steps.get(str(over.path[0]))
        if step is not None and step.map is not None:
            return place_of(answer_schema(step))
    place = vocabulary.place(over)
    return items_of(place) if isinstance(place, Place) else _ANYTHING


def step_of(reference: Reference) -> str | None:
    """Return the id of the step that a reference is to; None if it is to none."""
    if reference.root == "steps" and reference.path and isinstance(reference.path[0], str):
        return reference.path[0]
    return None
