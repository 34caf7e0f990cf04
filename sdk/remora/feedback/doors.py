"""Where signals of a program go: its sidecar, or else an aggregator that is named."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from remora.client.settings import read_client_settings
from remora.client.signal import Signal
from remora.client.signals import SignalClient
from remora.client.target import AggregatorTarget
from remora.errors import BadRequest, ConfigError, Problem, RemoraError
from remora.feedback.classifier import ASK_BELOW
from remora.feedback.classifier.context import Context
from remora.feedback.classifier.second_opinion import Opinion, parse_opinion
from remora.feedback.conversation import shown
from remora.local_sidecar.addresses import GATEWAY_VARIABLE, read_addresses
from remora.local_sidecar.control import ControlClient, ControlRefused

logger = logging.getLogger(__name__)

GATEWAY_VARIABLES: Final = (GATEWAY_VARIABLE, "AGENTOPT_GATEWAY_URL")
AGGREGATOR_VARIABLE: Final = "REMORA_AGGREGATOR"
USUAL_CONTROL: Final = "127.0.0.1:15080"
BATCH_SIGNALS: Final = 100
BATCH_BYTES: Final = 40 * 1024
"""Of signals in one call to a sidecar, which takes 64 KiB, but for one that is larger."""
CLASSIFIER_OFF: Final = "CLASSIFIER_OFF"
"""Code of a refusal: policy names no model that gives second opinions."""
_LOOK_S = 1.0
_CALL_S = 5.0
_OPINION_S = 30.0
_NS = 1_000_000_000


class Wanted(NamedTuple):
    """What a door takes besides signals.

    Attributes:
        text: What users wrote.
        opinion: Questions about messages.
        opinion_below: How sure the first verdict has to be for nobody to ask, from 0 to 1.
    """

    text: bool = False
    opinion: bool = False
    opinion_below: float = ASK_BELOW


class Door(Protocol):
    """Takes signals; methods block and raise `RemoraError`."""

    def wanted(self) -> Wanted:
        """Say what is taken besides signals."""
        ...

    def send(self, signals: Sequence[Signal]) -> list[str]:
        """Hand over signals; gives why some are refused for good."""
        ...

    def opinion(self, session_id: str, goal: str, message: str, context: Context) -> Opinion | None:
        """Ask for a second opinion about a message; None: nobody has one."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class SidecarDoor:
    """The sidecar of this program."""

    def __init__(self, address: str) -> None:
        """Name its control listener.

        Raises:
            ValueError: It is no address.
        """
        self._control = ControlClient(address, timeout_s=_CALL_S)
        self._slow_control = ControlClient(address, timeout_s=_OPINION_S)

    def wanted(self) -> Wanted:
        """Ask what policy wants; one of an older version wants nothing."""
        try:
            told = self._control.call("GET", "/v1/signals/settings")
        except ControlRefused as error:
            if error.status == 404:
                return Wanted()
            raise
        below = told.get("opinion_below")
        return Wanted(
            told.get("text") is True,
            told.get("opinion") is True,
            below if isinstance(below, float) and 0 <= below <= 1 else ASK_BELOW,
        )

    def send(self, signals: Sequence[Signal]) -> list[str]:
        """Hand over signals; they are on disk when it returns."""
        reasons = []
        for batch in _batches([_fields(signal) for signal in signals]):
            try:
                told = self._control.call("POST", "/v1/signals", {"signals": batch})
            except ControlRefused as error:
                if error.status not in (400, 413):
                    raise
                reasons += [str(error)] * len(batch)
            else:
                reasons += [str(refusal["reason"]) for refusal in told["refused"]]
        return reasons

    def opinion(self, session_id: str, goal: str, message: str, context: Context) -> Opinion | None:
        """Ask for a second opinion; None where policy names no model."""
        question = {
            "session_id": session_id,
            "goal": goal,
            "message": _printable(shown(message)),
            "previous": _printable(context.previous),
            "prior": _printable(context.answer),
        }
        try:
            told = self._slow_control.call("POST", "/v1/signals/opinion", question)
        except ControlRefused as error:
            if error.code == CLASSIFIER_OFF or error.status == 404:
                return None
            raise
        known = {name: told.get(name) for name in ("label", "confidence", "dimensions")}
        try:
            return parse_opinion(json.dumps(known))
        except ValueError:
            return None

    def close(self) -> None:
        """Let go of connections."""
        self._control.close()
        self._slow_control.close()


class AggregatorDoor:
    """An aggregator, for programs outside of pods."""

    def __init__(self, target: AggregatorTarget) -> None:
        """Say where it is.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        self._client = SignalClient(target)

    def wanted(self) -> Wanted:
        """Want nothing: no policy is known here."""
        return Wanted()

    def send(self, signals: Sequence[Signal]) -> list[str]:
        """Hand over signals; they are stored when it returns."""
        try:
            return [refused.reason for refused in self._client.send(signals).refused]
        except BadRequest as error:
            if error.status != 400:
                raise
            return [str(error)] * len(signals)

    def opinion(self, session_id: str, goal: str, message: str, context: Context) -> Opinion | None:
        """Have none."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def find_door(environment: Mapping[str, str], near: str = "") -> Door | None:
    """Find where signals go; None if there is nowhere.

    Args:
        environment: Of this process.
        near: The control listener of the sidecar that carries this program's calls, if known.

    Raises:
        ConfigError: What the environment names is of no use.
    """
    for name in GATEWAY_VARIABLES:
        if url := environment.get(name):
            try:
                return SidecarDoor(url)
            except ValueError as error:
                raise ConfigError([Problem(name, str(error))]) from None
    for address in filter(None, (near, USUAL_CONTROL, *_local_addresses())):
        if _answers(address):
            return SidecarDoor(address)
    if environment.get(AGGREGATOR_VARIABLE, "none") != "none":
        return AggregatorDoor(read_client_settings().target)
    return None


def _local_addresses() -> list[str]:
    """List where sidecars of this user may be, as they told when they started."""
    folders = [Path(".remora_cache")]
    with suppress(RuntimeError):  # there may be no home
        folders.append(Path.home() / ".local" / "share" / "remora" / "sidecar")
    found = [read_addresses(folder) for folder in folders]
    return [addresses.control for addresses in found if addresses is not None]


def _answers(address: str) -> bool:
    try:
        with ControlClient(address, timeout_s=_LOOK_S) as control:
            return control.is_alive()
    except (ValueError, RemoraError):
        return False


def _fields(signal: Signal) -> dict[str, Any]:
    """Write a signal as the control listener reads it; what is not said is left out."""
    told = {
        "signal_id": signal.signal_id,
        "call_id": signal.call_id,
        "kind": signal.kind,
        "reporter": signal.reporter,
        "dimension": signal.dimension,
        "failure_category": signal.failure_category,
        "goal": signal.goal,
        "session_id": signal.session_id,
        "text": signal.text,
        "strength": signal.strength,
        "confidence": signal.confidence,
        "source": None if signal.source is None else signal.source.name.lower(),
        "at": signal.at_unix_ns / _NS or None,
    }
    return {name: value for name, value in told.items() if value not in (None, "")}


def _printable(text: str) -> str:
    """Replace lone surrogates, which JSON can't hold."""
    return text.encode("utf-8", "replace").decode()


def _batches(signals: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batches: list[list[dict[str, Any]]] = []
    size = 0
    for signal in signals:
        own = len(json.dumps(signal))
        if not batches or len(batches[-1]) >= BATCH_SIGNALS or size + own > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(signal)
        size += own
    return batches
