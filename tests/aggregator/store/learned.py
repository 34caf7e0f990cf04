"""Records, signals and trials made up for tests of what is learned of them."""

from remora.learning.arms import Arm
from remora.learning.evidence import Evidence, Source
from remora.learning.signals import MEANINGS
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial
from remora_aggregator.store.facts import Stamp
from remora_proto.v1 import records_pb2 as pb

BEGIN_MS = 1_767_225_600_000
BEGIN_NS = BEGIN_MS * 1_000_000
MINI, BIG = Arm("openai", "mini"), Arm("openai", "big")
GOAL = "write"


def call_id(number: int) -> str:
    """Give the id of a call by a number."""
    return f"{number:032x}"


def stamp(namespace: str = "local", pod: str = "pod-1") -> Stamp:
    """Say whose record it is."""
    return Stamp(namespace, pod, BEGIN_NS + 10**9)


def record(number: int, *, goal: str = GOAL, **fields: object) -> pb.CallRecord:
    """Make up the record of a call, which ``mini`` answered."""
    made = pb.CallRecord(
        call_id=call_id(number),
        started_unix_nano=BEGIN_NS + number * 10**9,
        provider="openai",
        requested_model="auto",
        sent_model="mini",
        status_code=200,
        end_reason=pb.END_REASON_COMPLETED,
        latency_s=0.5,
        cost=pb.Cost(total_usd="0.001"),
        attribution=pb.Attribution(goal=goal, session_id="s1", task_id="t1"),
        origin=pb.Origin(workload="app"),
    )
    made.MergeFrom(pb.CallRecord(**fields))
    return made


def signal(number: int, kind: str = "user_accepted", **fields: object) -> Signal:
    """Make up a signal about a call."""
    name = str(fields.pop("signal_id", f"{kind}-{number}"))
    namespace = str(fields.pop("namespace", "local"))
    meaning = MEANINGS[kind]
    at_ms = BEGIN_MS + int(str(fields.pop("after_ms", 1_000)))
    reporter = str(fields.pop("reporter", ""))
    evidence = Evidence(
        meaning.source, meaning.strength, meaning.confidence, at_ms, name, kind, reporter
    )
    received = int(str(fields.pop("received_unix_ns", at_ms * 1_000_000)))
    return Signal(namespace, name, call_id(number), evidence, received, **fields)  # type: ignore[arg-type]


def trial(number: int, arm: Arm = MINI, **fields: object) -> ArmTrial:
    """Make up a trial that a program tells of."""
    made = {"goal": GOAL, "at_ms": BEGIN_MS + number * 1_000, **fields}
    return ArmTrial(call_id(number), arm=arm, **made)


def inferred(strength: float, confidence: float = 1.0) -> Evidence:
    """Make up what a check said."""
    kind = "check_passed" if strength > 0.5 else "check_failed"
    return Evidence(Source.INFERRED, strength, confidence, BEGIN_MS, "", kind)
