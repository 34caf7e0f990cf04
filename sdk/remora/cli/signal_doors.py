"""Where `remora signal` sends to: an aggregator, or the sidecar of this pod or machine."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from remora.client.settings import read_client_settings
from remora.client.signal import Refused, Sent, Signal
from remora.client.signals import SignalClient
from remora.errors import BadRequest, ConfigError, Problem, RemoraError, Unavailable
from remora.local_sidecar.addresses import GATEWAY_VARIABLE, read_addresses
from remora.local_sidecar.control import ControlClient, ControlRefused
from remora.local_sidecar.finding import current_environment

_CONTROL: Final = "127.0.0.1:15080"
_LOOK_S: Final = 1.0
_SIDECAR_MOST: Final = 100
"""Signals that a sidecar takes in one call."""


class Door(Protocol):
    """Takes signals."""

    @property
    def where(self) -> str:
        """Who takes them, for people."""
        ...

    @property
    def most(self) -> int:
        """How many it takes at a time."""
        ...

    def send(self, signals: Sequence[Signal]) -> Sent:
        """Hand over some; they are kept when it returns."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class AggregatorDoor:
    """An aggregator."""

    most = 1_000

    def __init__(self, client: SignalClient, address: str, namespace: str) -> None:
        """Take the client; it is closed with the door."""
        self.where = f"the aggregator at {address}"
        self._client = client
        self._namespace = namespace

    def send(self, signals: Sequence[Signal]) -> Sent:
        """Send some; they are stored when it returns."""
        return self._client.send(signals, namespace=self._namespace)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class SidecarDoor:
    """A sidecar, which keeps signals until its aggregator has them."""

    most = _SIDECAR_MOST

    def __init__(self, control: ControlClient) -> None:
        """Take its control listener; it is closed with the door."""
        self.where = f"the sidecar at {control.url}"
        self._control = control

    def send(self, signals: Sequence[Signal]) -> Sent:
        """Hand over some."""
        body = {"signals": [_json(signal) for signal in signals]}
        try:
            answer = self._control.call("POST", "/v1/signals", body)
            refused = tuple(
                Refused(int(one["index"]), str(one["reason"])) for one in answer["refused"]
            )
            return Sent(int(answer["accepted"]), int(answer["known"]), 0, refused)
        except ControlRefused as error:
            if error.status == 404:
                raise Unavailable(f"{self.where} takes no signals: it is an older one") from None
            if error.status >= 500:
                raise
            raise BadRequest(str(error), status=error.status, code=error.code) from None
        except (KeyError, TypeError, ValueError):
            raise Unavailable(f"what answers at {self._control.url} is no sidecar") from None

    def close(self) -> None:
        """Close the connections."""
        self._control.close()


def open_door(aggregator: str | None, namespace: str) -> Door:
    """Find who takes signals.

    An aggregator that is named, else the sidecar that runs here, else the aggregator that is asked
    for records.

    Args:
        aggregator: An address that somebody gave.
        namespace: Of the calls; a sidecar knows its own only.

    Raises:
        ConfigError: A setting can't be used.
        Unavailable: The sidecar that is named does not answer.
    """
    variable = current_environment().get("REMORA_AGGREGATOR", "")
    is_named = bool(aggregator or namespace or variable not in ("", "none"))
    if not is_named and (control := _running_sidecar()) is not None:
        return SidecarDoor(control)
    target = read_client_settings(aggregator).target
    return AggregatorDoor(SignalClient(target), target.address, namespace)


def _running_sidecar() -> ControlClient | None:
    environment = current_environment()
    if url := environment.get(GATEWAY_VARIABLE):
        return _named(url)
    data_dir = environment.get("REMORA_DATA_DIR")
    folder = Path(data_dir) if data_dir else Path.home() / ".local/share/remora/sidecar"
    told = read_addresses(folder)
    for address in dict.fromkeys((told.control if told else _CONTROL, _CONTROL)):
        with suppress(RemoraError, ValueError), ControlClient(address, timeout_s=_LOOK_S) as found:
            if "mode" in found.status():
                return ControlClient(address)
    return None


def _named(url: str) -> ControlClient:
    try:
        control = ControlClient(url)
    except ValueError as error:
        raise ConfigError([Problem(GATEWAY_VARIABLE, str(error))]) from None
    control.status()  # to say now that nobody answers
    return control


def _json(signal: Signal) -> dict[str, Any]:
    """Write a signal as a sidecar takes it: what is not said is missing."""
    from remora.cli.moments import iso_utc

    shown: dict[str, Any] = {
        name: value
        for name in signal.__slots__
        if (value := getattr(signal, name)) not in ("", None)
        and name not in ("source", "at_unix_ns")
    }
    if signal.source is not None:
        shown["source"] = signal.source.name.lower()
    if signal.at_unix_ns:
        shown["at"] = iso_utc(signal.at_unix_ns)
    return shown
