"""A provider whose answers come in the order that a test says, and runs that are watched."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tests.sidecar.workflow_runs.conftest import Provider, Serving

from remora.testing.double_answer import Answer, Fault, FaultKind
from remora.testing.double_request import ReceivedRequest

LIMIT_S = 60.0


@dataclass
class Paced(Provider):
    """What models say, and when.

    Attributes:
        texts: What each model says; none: as `says` has it.
        gates: What answers wait for, by what `gate_of` says of their requests.
        gate_of: Names a gate; the model, where nothing else is said.
        stalls: Models that say half of their answer, and then nothing.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, asyncio.Event] = field(default_factory=dict)
    gate_of: Callable[[Mapping[str, Any]], str] = lambda asked: str(asked["model"])
    stalls: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.texts:
            self.says = lambda asked: self.texts[asked["model"]]

    def __call__(self, request: ReceivedRequest) -> Answer:
        answer = super().__call__(request)
        asked = json.loads(request.body)
        if (gate := self.gates.get(self.gate_of(asked))) is not None:
            answer = replace(answer, waits_for=gate)
        if asked["model"] in self.stalls:
            assert isinstance(answer.body, bytes)
            answer = replace(answer, fault=Fault(FaultKind.STALL, len(answer.body) // 2))
        return answer


async def begin(served: Serving, workflow: Any, given: Any = None, **more: Any) -> str:
    """Begin a run; gives its id."""
    body = {"workflow": workflow, "input": given or {}, "wait": False, **more}
    reply = await served.ask("POST", "/v1/workflows/execute", body)
    assert reply.status == 200, reply.text
    return str(reply.json["execution_id"])


async def once(served: Serving, execution_id: str, is_so: Callable[[Any], object]) -> Any:
    """Give the execution once it is as a test wants it."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            value = (await served.ask("GET", f"/v1/executions/{execution_id}")).json
            if is_so(value):
                return value
            await asyncio.sleep(0.005)


async def over(served: Serving, execution_id: str) -> Any:
    """Give the execution once it is over."""
    return await once(served, execution_id, lambda value: value["status"] not in _GOES_ON)


_GOES_ON = ("running", "paused")


async def events(served: Serving, execution_id: str) -> list[Any]:
    """Give all that a run told, once it is over."""
    return (await served.ask("GET", f"/v1/executions/{execution_id}/events")).events


def settled(value: Any, count: int) -> bool:
    """Tell whether so many calls of a run are over."""
    return sum(len(step["calls"]) for step in value["steps"]) == count


def calls(value: Any, step_id: str = "ask") -> dict[str, str]:
    """Give how the calls of a step ended, by their models."""
    return {call["model_id"]: call["status"] for call in _step(value, step_id)["calls"]}


def purposes(value: Any, step_id: str = "ask") -> Counter[str]:
    """Count the calls of a step by what they were for."""
    return Counter(call["purpose"] for call in _step(value, step_id)["calls"])


def _step(value: Any, step_id: str) -> Any:
    (step,) = [step for step in value["steps"] if step["step_id"] == step_id]
    return step


async def assert_paid(served: Serving, value: Any) -> list[Any]:
    """Hold a run's sums against the records of its calls; gives these."""
    receipts = [one for step in value["steps"] for one in step["receipt_ids"]]
    records = await served.records(len(receipts))
    assert sorted(receipts) == sorted(record.call_id for record in records)
    costs = [record.cost.total_usd for record in records if record.cost is not None]
    assert Decimal(value["total_cost_usd"]) == sum(costs, Decimal(0))
    per_step = [Decimal(step["cost_usd"]) for step in value["steps"]]
    assert sum(per_step, Decimal(0)) == sum(costs, Decimal(0))
    assert value["total_tokens"] == sum(
        record.usage.input_tokens + record.usage.output_tokens
        for record in records
        if record.usage is not None
    )
    return records
