"""All that Kalibr's clients ask, and what they find behind it."""

import random
from typing import Final

from remora_aggregator.store.kalibr_paths import KalibrPaths
from remora_aggregator.store.kalibr_runs import KalibrRuns
from remora_aggregator.store.kalibr_spans import KalibrSpans
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.web.front import Front
from remora_aggregator.web.kalibr import (
    advice,
    capsules,
    config,
    deciding,
    insights,
    outcomes,
    paths,
    signals,
    spans,
    traces,
    unserved,
)
from remora_aggregator.web.kalibr.room import Room
from remora_aggregator.web.operation import Operations

OPERATIONS: Final[Operations] = (
    *paths.OPERATIONS,
    *deciding.OPERATIONS,
    *config.OPERATIONS,
    *advice.OPERATIONS,
    *outcomes.OPERATIONS,
    *insights.OPERATIONS,
    *signals.OPERATIONS,
    *spans.OPERATIONS,
    *capsules.OPERATIONS,
    *traces.OPERATIONS,
    *unserved.OPERATIONS,
)
"""They stand beside our own API, and are described in docs/kalibr.md."""


def room_behind(front: Front) -> Room:
    """Build what the handlers find, on the store that the listener stands before."""
    store = front.store
    return Room(
        paths=KalibrPaths(store), runs=KalibrRuns(store), spans=KalibrSpans(store),
        signals=front.signals, scores=StoredScores(store, front.clock), learned=front.learned,
        clock=front.clock, chance=random.SystemRandom(), signature_key=front.signature_key,
    )  # fmt: skip
