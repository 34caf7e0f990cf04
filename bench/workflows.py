"""`python -m bench.workflows`: what running workflows costs, and whether each gets its share."""

import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import click

from bench.learning.contests import as_table
from bench.machine import CHECKOUT, today
from bench.report import between_markers
from bench.workflow_ring import PunctualModels, Ring
from remora.testing.double import ProviderDouble
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address
from remora_sidecar.workflow_runs.turns import CALLS_AT_ONCE

PAGE: Final = CHECKOUT / "docs" / "performance.md"
STEPS: Final = 10
WANTED_MS: Final = 2.0
WANTED_SHARE: Final = 2.0
_LATENCIES_S: Final = (0.5, 1.0, 1.5, 2.0)


def chain(steps: int = STEPS) -> dict[str, Any]:
    """Make a workflow whose steps each wait for the one before."""
    made = [_step("s0", "Begin with {{input.goal}}.")]
    for number in range(1, steps):
        made.append(_step(f"s{number}", f"Go on: {{{{steps.s{number - 1}.output}}}}"))
    return {"name": "chain", "steps": made}


def fan(steps: int = STEPS) -> dict[str, Any]:
    """Make a workflow of one step, others side by side after it, and one after all of them."""
    middle = [f"s{number}" for number in range(1, steps - 1)]
    made = [_step("s0", "Begin with {{input.goal}}.")]
    made += [_step(one, f"{one}: {{{{steps.s0.output}}}}") for one in middle]
    answers = " ".join(f"{{{{steps.{one}.output}}}}" for one in middle)
    made.append(_step(f"s{steps - 1}", f"Put together: {answers}"))
    return {"name": "fan", "steps": made}


def _step(step_id: str, prompt: str) -> dict[str, Any]:
    return {"id": step_id, "prompt": prompt, "tier": "fast", "max_tokens": 200}


@dataclass(frozen=True)
class Cost:
    """What some runs took.

    Attributes:
        runs: How many there were, of `STEPS` steps each.
        step_ms: CPU time of the whole process, threads included, for each step.
        order_ms: Of it, for each run: reading and checking the order, in one thread.
        wall_s: How long it took.
    """

    runs: int
    step_ms: float
    order_ms: float
    wall_s: float


async def cost_of(ring: Ring, runs: int) -> Cost:
    """Run chains and fans side by side to their ends."""
    workflows = [chain() if number % 2 else fan() for number in range(runs)]
    order_ms = await _order_ms(ring, workflows[:20])
    gc.collect()
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    known = await asyncio.gather(*(ring.order(one, input={"goal": "tea"}) for one in workflows))
    await asyncio.gather(*(one.feed.over() for one in known))
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    assert all(one.status == "completed" for one in known), "a run did not complete"
    return Cost(runs, cpu_s * 1000 / runs / STEPS, order_ms, took_s)


async def _order_ms(ring: Ring, workflows: Sequence[dict[str, Any]]) -> float:
    from remora_sidecar.workflow_runs.order import RunOrder

    orders = [RunOrder(workflow=one, input={"goal": "tea"}) for one in workflows]
    await ring.runs.preparing.prepare(orders[0], ring.key)
    begun_s = time.process_time()
    for order in orders:
        await ring.runs.preparing.prepare(order, ring.key)
    return (time.process_time() - begun_s) * 1000 / len(orders)


def ring_cost(runs: int) -> Cost:
    """Measure runs before models that answer after virtual times, with their file."""
    chance = random.Random(1)  # noqa: S311 - no secret

    async def measured(folder: Path) -> Cost:
        ring = Ring(folder, PunctualModels(lambda key: chance.choice(_LATENCIES_S)))
        await ring.runs.take_up()
        try:
            return await cost_of(ring, runs)
        finally:
            await ring.stop()

    return _in_virtual_time(measured)


def _in_virtual_time[T](work: Callable[[Path], Coroutine[Any, Any, T]]) -> T:
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(work(Path(folder)))


# fairness


@dataclass(frozen=True)
class Share:
    """When runs of equal work ended that were ordered together.

    Attributes:
        fair_s: When the last would end if all calls of all runs filled every place at once.
        first_s: When the first ended.
        last_s: When the last one ended.
    """

    fair_s: float
    first_s: float
    last_s: float

    @property
    def worst(self) -> float:
        """How long the run that waited longest took, of its fair share."""
        return self.last_s / self.fair_s


def share_of(workflows: Sequence[dict[str, Any]], at_once: int) -> Share:
    """Let runs of equal work contend for places, each call taking one second of virtual time.

    With N calls in all and R places no order of calls ends before N / R seconds, nor before the
    longest chain of one run: the larger of the two is a run's fair share of the time. Runs take
    turns, so none ends later than twice that.
    """

    async def measured(folder: Path) -> Share:
        ring = Ring(folder, PunctualModels(), at_once=at_once)
        await ring.runs.take_up()
        loop = asyncio.get_running_loop()

        async def ended_s(workflow: dict[str, Any]) -> float:
            known = await ring.order(workflow, input={"goal": "tea"})
            await known.feed.over()
            return loop.time() - begun_s

        begun_s = loop.time()
        ends = await asyncio.gather(*map(ended_s, workflows))
        await ring.stop()
        calls = sum(len(one["steps"]) for one in workflows)
        depth = max(_depth(one) for one in workflows)
        return Share(max(calls / at_once, depth), min(ends), max(ends))

    return _in_virtual_time(measured)


def _depth(workflow: dict[str, Any]) -> int:
    return len(workflow["steps"]) if workflow["name"] == "chain" else 3


# with the engine


def engine_costs(runs: int) -> tuple[Cost, Cost]:
    """Measure with a whole sidecar: its prices and policy alone, then its calls as well.

    The second has agent, proxy, engine and provider double in one process, all of them counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_with_engine(Path(folder), runs))


async def _with_engine(folder: Path, runs: int) -> tuple[Cost, Cost]:
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(ProviderDouble(keep_requests=False))
        sidecar = await stack.enter_async_context(running_sidecar(_settings(folder, double)))
        ring = Ring(
            folder / "ring",
            PunctualModels(lambda key: 0.02),
            preparing=sidecar.workflows.preparing,
        )
        try:
            chosen = await cost_of(ring, runs)
        finally:
            await ring.stop()
        return chosen, await _cost_over_http(sidecar, runs, chosen.order_ms)


def _settings(folder: Path, double: ProviderDouble) -> SidecarSettings:
    (folder / "ca.pem").write_text(double.ca_pem)
    key = folder / "secrets" / "openai" / "api-key"
    key.parent.mkdir(parents=True)
    key.write_text("sk-of-the-bench-0123456789")
    credentials = [{"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}]
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": "bench"},
        "spec": {"credentials": credentials},
    }
    (folder / "policy.yaml").write_text(json.dumps(policy))
    host, port = double.address
    return SidecarSettings(
        listen=(("127.0.0.1", 0),),
        control_listen=("127.0.0.1", 0),
        status_listen=("127.0.0.1", 0),
        data_dir=folder / "data",
        aggregator="none",
        policy=folder / "policy.yaml",
        secrets_dir=folder / "secrets",
        upstream_ca=folder / "ca.pem",
        connect_to=ConnectTo.parse(f"::{host}:{port}"),
    )


async def _cost_over_http(sidecar: Sidecar, runs: int, order_ms: float) -> Cost:
    url = f"http://{format_address(sidecar.control)}/v1/workflows/execute"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def executed(workflow: dict[str, Any]) -> str:
            body = {"workflow": workflow, "input": {"goal": "tea"}}
            async with client.post(url, json=body) as answer:
                return str((await answer.json())["status"])

        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        workflows = [chain() if number % 2 else fan() for number in range(runs)]
        statuses = await asyncio.gather(*map(executed, workflows))
        took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    assert set(statuses) == {"completed"}, statuses
    return Cost(runs, cpu_s * 1000 / runs / STEPS, order_ms, took_s)


# the table


def _cost_row(what: str, cost: Cost, wanted_ms: float | None = None) -> list[str]:
    wanted = "" if wanted_ms is None else f"≤ {wanted_ms:g} ms"
    each = f"{cost.order_ms:.1f} ms to read and check the order of a run"
    return [
        f"{what}, {cost.runs:,} runs of {STEPS} steps ({each})",
        f"{cost.step_ms:.2f} ms",
        wanted,
    ]


def _share_row(what: str, share: Share) -> list[str]:
    ends = f"first end {share.first_s:.0f} s, last {share.last_s:.0f} s, fair {share.fair_s:.0f} s"
    return [f"{what} ({ends})", f"{share.worst:.2f}x", f"≤ {WANTED_SHARE:g}x"]


def _rows(runs: int, engine_runs: int) -> list[list[str]]:
    mixed = [chain() if number % 2 else fan() for number in range(runs)]
    chosen, carried = engine_costs(engine_runs)
    return [
        _cost_row("CPU of a step, models left out", ring_cost(runs), WANTED_MS),
        _cost_row("the same, models chosen by a sidecar's policy and prices", chosen, WANTED_MS),
        _cost_row("the same over HTTP, with proxy, engine and provider", carried),
        _share_row("longest wait, chains and fans", share_of(mixed, CALLS_AT_ONCE)),
        _share_row("longest wait, chains", share_of([chain()] * runs, CALLS_AT_ONCE)),
    ]


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of the runs; nothing is written.")
def main(*, quick: bool) -> None:
    """Measure workflow runs; writes the table in docs/performance.md."""
    table = as_table("what|is|promised", _rows(100, 20) if quick else _rows(1_000, 100))
    click.echo(table)
    if not quick:
        text = f"Measured {today()}.\n\n{table}"
        PAGE.write_text(between_markers(PAGE.read_text(), "workflows", text))


if __name__ == "__main__":
    main()
