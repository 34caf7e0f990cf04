"""How these operations are described: who may ask them, and that their answers are JSON."""

from typing import Any, Final

from remora_aggregator.service.permissions import Act
from remora_aggregator.web.kalibr.reading import NothingAsked, key_shown
from remora_aggregator.web.operation import JSON, Content, Operation
from remora_aggregator.web.parameters import Parameters

ANSWER: Final = Content(JSON, None, "As the published client reads it.")


def operation(
    method: str, path: str, name: str, handler: Any, act: Act | None,
    parameters: type[Parameters] = NothingAsked, shows: Any = key_shown,
) -> Operation[Any]:  # fmt: skip
    """Describe an operation."""
    return Operation(
        method, path, f"kalibr{name}", (handler.__doc__ or "").strip().splitlines()[0],
        parameters=parameters, handler=handler, answer=ANSWER, act=act, shows=shows,
    )  # fmt: skip
