"""What keeps budgets beyond one process: the ledger's file, and leases from the aggregator."""

import asyncio

from remora.client.target import AggregatorTarget
from remora.clock import Clock
from remora.task_owner import TaskOwner
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.leases import Leases
from remora_sidecar.ledger_file import LedgerFile
from remora_sidecar.policy.ledger import Ledger


class BudgetKeeping:
    """Remembers over restarts, and shares with other pods where there is an aggregator.

    Attributes:
        leases: Of shared budgets; None where nobody shares them.
    """

    def __init__(self, file: LedgerFile, leases: Leases | None) -> None:
        """Take the ledger's file, and its leases."""
        self.leases = leases
        self._file = file

    @classmethod
    def open(
        cls, ledger: Ledger, data: DataDirectory, target: AggregatorTarget | None, clock: Clock
    ) -> "BudgetKeeping":
        """Take over what an earlier sidecar wrote; needs a running loop where there are leases."""
        file = LedgerFile(data.path, ledger)
        file.load()
        leases = None if target is None else Leases(ledger, target, clock=clock)
        return cls(file, leases)

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should know."""
        leases = self.leases.problem if self.leases is not None else ""
        return tuple(filter(None, (self._file.problem, leases)))

    def start(self, tasks: TaskOwner) -> None:
        """Write and renew from now on."""
        tasks.spawn(self._file.run(), name="ledger file")
        if self.leases is not None:
            tasks.spawn(self.leases.run(), name="leases")

    async def aclose(self, timeout_s: float) -> None:
        """Give leases back and write down what is spent; no call may follow."""
        if self.leases is not None:
            await self.leases.give_back(timeout_s)
        await asyncio.to_thread(self._file.write)
