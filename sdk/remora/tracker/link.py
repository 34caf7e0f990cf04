"""A tracker's end of its sidecar: sessions, records and the cache, over the control listener."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

from remora.local_sidecar.control import ControlClient
from remora.record_wire import from_message
from remora.tracker.active import ActiveSession, ProviderHosts, SidecarAccess
from remora.tracker.call_record import CallRecord, call_record
from remora.tracker.trust_files import trust_folder
from remora.trust import BUNDLE_FILE, CA_FILE
from remora_proto.v1 import journal_pb2 as pb

_PROTOBUF = "application/x-protobuf"
UNKNOWN_TRACKER = "UNKNOWN_TRACKER"
"""Code of a refusal: the sidecar was started anew, or forgot the tracker."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records, in the order in which they were last written.

    Attributes:
        last_change: What to ask for the next page after.
        has_more: Whether there may be more already.
    """

    records: tuple[CallRecord, ...]
    last_change: int
    has_more: bool


class SidecarLink:
    """One tracker of one sidecar; blocking, and safe to use from many threads.

    Attributes:
        tracker_id: Unguessable; all that it takes to ask for the tracker's records.
    """

    def __init__(self, control: ControlClient) -> None:
        """Take the sidecar; `connect` does the rest."""
        self._control = control
        self._lock = threading.Lock()
        self._providers_version = ""
        self._access: SidecarAccess | None = None
        self.tracker_id = ""

    @classmethod
    def connect(cls, control: ControlClient) -> Self:
        """Make a tracker of the sidecar and hold it until `close`.

        Raises:
            Unavailable: The sidecar can't be reached, or serves no trackers.
            OSError: Trust files can't be kept.
        """
        link = cls(control)
        told = control.call("POST", "/v1/trackers", {})
        link.tracker_id = str(told["tracker_id"])
        control.hold(link._path("hold"))
        link._access = _access(control, told)
        link._providers_version = str(told["providers_version"])
        return link

    @property
    def url(self) -> str:
        """Of the sidecar's control listener."""
        return self._control.url

    @property
    def access(self) -> SidecarAccess:
        """How calls reach the sidecar."""
        assert self._access is not None  # noqa: S101 - set by `connect`
        return self._access

    def open_session(self, fields: Mapping[str, object]) -> ActiveSession:
        """Open a session of this tracker.

        Raises:
            Unavailable: The sidecar can't be reached, or does not know the tracker any more.
        """
        opened = self._control.open_session({**fields, "tracker_id": self.tracker_id})
        if opened.get("providers_version") != self._providers_version:
            self.refresh_providers()
        return ActiveSession(str(opened["session_id"]), self.access)

    def end_session(self, session_id: str) -> None:
        """End a session; its late calls are still its own."""
        self._control.call("DELETE", f"/v1/sessions/{session_id}")

    def refresh_providers(self) -> None:
        """Ask anew whose calls the sidecar takes."""
        told = self._control.call("GET", self._path("providers"))
        with self._lock:
            self._access = replace(self.access, providers=_providers(told))
            self._providers_version = str(told["providers_version"])

    def register_provider(self, name: str, base_url: str, path_patterns: tuple[str, ...]) -> None:
        """Have the sidecar take a provider's calls."""
        body = {"name": name, "base_url": base_url, "path_patterns": list(path_patterns)}
        self._control.call("POST", "/providers", body)
        self.refresh_providers()

    def flush_cache(self) -> None:
        """Return when all that the cache keeps would survive a loss of power."""
        self._control.call("POST", "/cache/flush")

    def clear_cache(self) -> None:
        """Forget every cached answer."""
        self._control.call("POST", "/cache/clear")

    def cache_stats(self, admin_token: str) -> dict[str, Any]:
        """Read the figures of each level of the cache, as the sidecar's owner."""
        headers = {"Authorization": f"Bearer {admin_token}"}
        return self._control.call("GET", "/v1/cache", headers=headers)

    def records(self, tracker_id: str, after: int) -> RecordPage:
        """Read the next records of a tracker, this one or an earlier one of the same program."""
        query = urlencode({"after": after})
        path = f"/v1/trackers/{quote(tracker_id, safe='')}/records?{query}"
        page = pb.JournalPage.FromString(self._control.read(path, {"Accept": _PROTOBUF}))
        records = tuple(call_record(from_message(kept.record), kept.number) for kept in page.calls)
        return RecordPage(records, page.last_change, page.more)

    def forget_records(self, tracker_id: str) -> None:
        """Remove a tracker's records from the sidecar's journal."""
        self._control.call("DELETE", f"/v1/trackers/{quote(tracker_id, safe='')}/records")

    def router_url(self) -> str:
        """The WebSocket that routes the calls of this tracker's sessions."""
        return "ws" + self._control.url.removeprefix("http") + self._path("router")

    def close(self) -> None:
        """Let go of the tracker, which ends its sessions."""
        self._control.close()

    def _path(self, what: str) -> str:
        return f"/v1/trackers/{self.tracker_id}/{what}"


def _access(control: ControlClient, told: Mapping[str, Any]) -> SidecarAccess:
    _, _, port = str(told["proxy"]).rpartition(":")
    ca_pem = str(told["ca_pem"])
    folder = trust_folder(control, Path(str(told["trust_dir"])), ca_pem)
    return SidecarAccess(
        proxy_host=control.host,
        proxy_port=int(port),
        ca_pem=ca_pem,
        ca_file=str(folder / CA_FILE),
        bundle_file=str(folder / BUNDLE_FILE),
        trust_dir=str(folder),
        providers=_providers(told),
        control_url=control.url,
    )


def _providers(told: Mapping[str, Any]) -> tuple[ProviderHosts, ...]:
    return tuple(
        ProviderHosts(tuple(one["hosts"]), tuple(one["ports"]), bool(one["tls"]))
        for one in told["providers"]
    )
