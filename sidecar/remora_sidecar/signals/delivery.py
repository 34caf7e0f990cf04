"""Delivers signals that wait to the aggregator, for as long as the sidecar runs."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from remora.clock import Clock
from remora.pauses import Sleep
from remora_proto.v1 import signals_pb2 as pb
from remora_proto.v1 import signals_pb2_grpc as pb_grpc
from remora_sidecar.grpc_peer import Target
from remora_sidecar.outbox_delivery import ANSWER_S, OutboxDelivery
from remora_sidecar.outbox_delivery import OLD_VERSION_PAUSE_S as OLD_VERSION_PAUSE_S
from remora_sidecar.signals.outbox import Outbox
from remora_sidecar.signals.outbox_table import WaitingSignal

BATCH_SIGNALS: Final = 500


class SignalDelivery(OutboxDelivery[WaitingSignal]):
    """Hands the outbox's signals to `SignalService`."""

    def __init__(
        self,
        outbox: Outbox,
        target: Target,
        *,
        keeps_text: Callable[[], bool],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where signals wait and where they go; nothing is dialled before `run`.

        Args:
            outbox: Where they wait.
            target: Where they go.
            keeps_text: Whether policy lets what users wrote leave the pod, by now.
            clock: Tells how old a channel is.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        super().__init__(
            outbox,
            target,
            things="signals",
            most=BATCH_SIGNALS,
            clock=clock,
            sleep=sleep,
            jitter=jitter,
        )
        self._keeps_text = keeps_text

    async def _sent(
        self, channel: grpc.aio.Channel, batch: Sequence[WaitingSignal]
    ) -> Sequence[str]:
        request = pb.SendSignalsRequest(signals=map(self._message, batch))
        answer = await pb_grpc.SignalServiceStub(channel).Send(request, timeout=ANSWER_S)
        return [refusal.reason for refusal in answer.refused]

    def _message(self, waiting: WaitingSignal) -> pb.Signal:
        try:
            signal = pb.Signal.FromString(waiting.message)
        except DecodeError:  # the aggregator refuses it, and it goes
            return pb.Signal()
        if signal.text and not self._keeps_text():
            signal.ClearField("text")
        return signal
