"""Many sidecars that report at once, in a process of their own; prints what they saw as JSON.

Each keeps a few messages under way, as the sidecar's delivery does, and sends the next when one
is acknowledged; or at a pace of its own, if one is given. Messages are written before the clock
starts.
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from statistics import quantiles

import click
import grpc

from bench.store.reported import batches
from remora_proto.v1 import records_pb2 as pb

_METHOD = "/remora.v1.RecordService/Report"


@dataclass
class Seen:
    """What came of it.

    Attributes:
        waits_s: From the sending of each message to its acknowledgement.
    """

    acknowledged: int = 0
    refused: int = 0
    seconds: float = 0.0
    waits_s: list[float] = field(default_factory=list)


async def report(
    address: str, number: int, messages: list[bytes], *, under_way: int, every_s: float,
    lag_s: float, seen: Seen,
) -> None:  # fmt: skip
    """Be one reporter.

    Args:
        address: Of the aggregator.
        number: Its own.
        messages: What it reports.
        under_way: How many messages may wait for their answers.
        every_s: From one message to the next; 0: as soon as it may. Who falls behind waits since
            the message was due, not since it could be sent.
        lag_s: How long after the others it begins: reporters know nothing of each other.
        seen: What came of it.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            _METHOD,
            request_serializer=lambda written: written,
            response_deserializer=pb.ReportResponse.FromString,
        )()
        hello = pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid=f"pod-{number}"))
        await call.write(hello.SerializeToString())
        await call.read()
        sent: deque[float] = deque()
        room = asyncio.Semaphore(under_way)

        async def send() -> None:
            due_s = time.perf_counter() + lag_s
            for message in messages:
                if every_s:
                    await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await room.acquire()
                sent.append(due_s if every_s else time.perf_counter())
                due_s += every_s
                await call.write(message)
            await call.done_writing()

        sending = asyncio.ensure_future(send())
        while (answer := await call.read()) is not grpc.aio.EOF:
            seen.waits_s.append(time.perf_counter() - sent.popleft())
            seen.acknowledged += len(answer.acknowledged)
            seen.refused += len(answer.refused)
            room.release()
        await sending


async def _all(address: str, written: list[list[bytes]], under_way: int, every_s: float) -> Seen:
    seen = Seen()
    chance = random.Random(0)  # noqa: S311 - load, no secret
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, messages in enumerate(written):
            lag_s = every_s * chance.random()
            group.create_task(
                report(address, number, messages, under_way=under_way, every_s=every_s,
                       lag_s=lag_s, seen=seen)
            )  # fmt: skip
    seen.seconds = time.perf_counter() - begun
    return seen


@click.command()
@click.option("--to", "address", required=True)
@click.option("--reporters", default=20, show_default=True)
@click.option("--records", default=100_000, show_default=True, help="Of all together.")
@click.option("--batch", default=50, show_default=True, help="Records a message.")
@click.option("--under-way", default=2, show_default=True, help="Messages without answer.")
@click.option("--rate", default=0.0, show_default=True, help="Records a second; 0: all it takes.")
@click.option("--bodies", default=0, show_default=True, help="Bytes of both bodies together.")
@click.option("--first", default=0, show_default=True, help="Number of the first reporter.")
def main(
    *, address: str, reporters: int, records: int, batch: int, under_way: int, rate: float,
    bodies: int, first: int,
) -> None:  # fmt: skip
    """Report, and say how it went."""
    each = records // reporters
    written = [
        list(batches(first + number, each, batch, bodies_bytes=bodies))
        for number in range(reporters)
    ]
    every_s = batch * reporters / rate if rate else 0.0
    seen = asyncio.run(_all(address, written, under_way, every_s))
    shown = asdict(seen)
    waits = shown.pop("waits_s")
    cuts = quantiles(waits, n=1000, method="inclusive")
    shown |= {"p50_s": cuts[499], "p99_s": cuts[989], "most_s": max(waits)}
    json.dump(shown, sys.stdout)


if __name__ == "__main__":
    main()
