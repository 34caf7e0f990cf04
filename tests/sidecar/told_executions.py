"""Reports of executions for tests, and waiting for what signals nothing."""

import asyncio
from dataclasses import replace

from remora.execution_report import ExecutionReport, ExecutionStatus

SOON_S = 60
RUNNING, COMPLETED = ExecutionStatus.RUNNING, ExecutionStatus.COMPLETED


def report(number=1, revision=1, status=RUNNING, **fields):
    made = ExecutionReport(
        execution_id=f"e-{number}", task_id="t", owns_task=True, workflow="w", workflow_digest="d",
        revision=revision, status=status, began_unix_ns=number,
    )  # fmt: skip
    return replace(made, **fields)


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - it belongs to code that signals nothing
            await asyncio.sleep(0.002)
