"""Aggregators and reporters as processes, each on its core."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.cores import OTHERS_CORE, PROXY_CORE, on_core
from bench.machine import CHECKOUT
from bench.process import cpu_seconds, resident_mb
from bench.servers import clean_environment
from remora.testing.server_process import ServerProcess, part_command
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc


@dataclass(frozen=True, slots=True)
class Load:
    """What reporters do together.

    Attributes:
        rate: Records a second; 0: as many as are taken.
        bodies_bytes: Of both bodies of a record.
        first: Number of the first reporter: others report other calls.
    """

    records: int
    reporters: int = 20
    batch: int = 100
    rate: float = 0.0
    bodies_bytes: int = 0
    first: int = 0

    @property
    def options(self) -> list[str]:
        """As the reporters' command takes them."""
        return [
            "--records", str(self.records), "--reporters", str(self.reporters),
            "--batch", str(self.batch), "--rate", str(self.rate),
            "--bodies", str(self.bodies_bytes), "--first", str(self.first),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Taken:
    """What an aggregator took in.

    Attributes:
        cpu_us: Of the aggregator, for each record; of all of them, where there are several.
        p99_s: From sending a message to its acknowledgement.
    """

    per_second: float
    cpu_us: float
    p50_s: float
    p99_s: float


class AggregatorProcess:
    """A real aggregator on the first core."""

    def __init__(self, process: ServerProcess) -> None:
        """Take the process."""
        self.pid = process.pid
        self.address: str = process.ready["address"]

    @property
    def resident_mb(self) -> float:
        """Its memory."""
        return resident_mb(self.pid)

    @property
    def cpu_s(self) -> float:
        """CPU time that it has used."""
        return cpu_seconds(self.pid)


@contextlib.contextmanager
def started_aggregator(
    folder: Path, settings: Mapping[str, str] | None = None, *, core: int = PROXY_CORE
) -> Iterator[AggregatorProcess]:
    """Start an aggregator with a store in a folder, or where its settings say."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **clean_environment(),
        "REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR_DATA_DIR": str(folder),
        "REMORA_AGGREGATOR_RECORDS_PER_S": "0",
        "REMORA_AGGREGATOR_MESSAGES_PER_S": "0",
        "REMORA_AGGREGATOR_BYTES_PER_S": "0",
        "REMORA_AGGREGATOR_QUERIES_PER_S": "0",
        **(settings or {}),
    }
    command = part_command("aggregator", "--ready-json")
    with on_core(core):
        process = ServerProcess("aggregator", command, environment, folder / "log")
    with process:
        yield AggregatorProcess(process)


def indexed(aggregator: AggregatorProcess) -> float:
    """Wait until the words of all bodies are indexed; gives the CPU seconds that took."""
    before_s = aggregator.cpu_s
    wanted = pb.QueryRequest(filter=pb.RecordFilter(text="nobodysaidthis"), limit=1)
    with grpc.insecure_channel(aggregator.address) as channel:
        # Who asks by words is answered once they are.
        list(pb_grpc.RecordServiceStub(channel).Query(wanted))
    return aggregator.cpu_s - before_s


def reported(load: Load, *aggregators: AggregatorProcess) -> Taken:
    """Report, to each aggregator an equal part, and wait until all is acknowledged."""
    before_s = sum(aggregator.cpu_s for aggregator in aggregators)
    part = Load(
        load.records // len(aggregators),
        load.reporters // len(aggregators),
        load.batch,
        load.rate / len(aggregators),
        load.bodies_bytes,
    )
    started = [
        _reporters(part, aggregator.address, load.first + number * part.reporters)
        for number, aggregator in enumerate(aggregators)
    ]
    answers = [_answer(process) for process in started]
    cpu_s = sum(aggregator.cpu_s for aggregator in aggregators) - before_s
    records = sum(answer["acknowledged"] for answer in answers)
    if records != part.records * len(aggregators):
        raise RuntimeError(f"{records} records were acknowledged, of {load.records}")
    return Taken(
        records / max(answer["seconds"] for answer in answers),
        cpu_s / records * 1e6,
        max(answer["p50_s"] for answer in answers),
        max(answer["p99_s"] for answer in answers),
    )


def _reporters(load: Load, address: str, first: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "bench.store.reporters", "--to", address, *load.options[:-2],
        "--first", str(first),
    ]  # fmt: skip
    with on_core(OTHERS_CORE):
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=CHECKOUT, env=clean_environment()
        )


def _answer(process: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    output, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError("the reporters failed")
    answer: Mapping[str, Any] = json.loads(output)
    return answer
