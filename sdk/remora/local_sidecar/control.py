"""A client of a sidecar's control listener: status, sessions, trackers.

Blocking and thread-safe. Connections are kept for the next call; none of them survives a fork.
"""

import http.client
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from remora.errors import RemoraError, Unavailable

_TIMEOUT_S = 30.0
_KEPT_CONNECTIONS = 16


class ControlRefused(Unavailable):
    """The sidecar answered, and refused; ``code`` says why in a word."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        """Keep the status and the code."""
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.content)) if self.content else {}


class ControlClient:
    """Calls one sidecar.

    Attributes:
        url: Of the control listener, without a path.
    """

    def __init__(self, address: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Name the control listener.

        Args:
            address: ``host:port``, or an ``http://`` or ``https://`` URL.
            timeout_s: Of a call.

        Raises:
            ValueError: It is neither.
        """
        self.url = address.rstrip("/") if "://" in address else f"http://{address}"
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{address!r} is no http:// or https:// URL, and not host:port")
        self._is_tls = parts.scheme == "https"
        self.host = parts.hostname
        self._port = parts.port or (443 if self._is_tls else 80)
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._kept: list[http.client.HTTPConnection] = []
        self._held: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def is_alive(self) -> bool:
        """Tell whether a ready sidecar answers here."""
        try:
            return bool(self.status().get("ready"))
        except RemoraError:
            return False

    def has_cache(self) -> bool:
        """Tell whether calls may be answered from a cache."""
        return bool(self.status().get("cache"))

    def status(self) -> dict[str, Any]:
        """Read what the sidecar says of itself to anybody."""
        return self.call("GET", "/v1/status")

    def read_policy(self, admin_token: str) -> dict[str, Any]:
        """Read the policy in force."""
        return self.call("GET", "/v1/policy", headers={"Authorization": f"Bearer {admin_token}"})

    def open_session(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """Open a session; the answer has its id and proxy URL."""
        return self.call("POST", "/v1/sessions", fields)

    def read_session(self, session_id: str) -> dict[str, Any]:
        """Read a session's totals."""
        return self.call("GET", f"/v1/sessions/{session_id}")

    def hold(self, path: str) -> None:
        """Keep something and its sidecar for as long as this client is open.

        Args:
            path: Such as ``/v1/sessions/ID/hold``.
        """
        connection = self._connection()
        try:
            connection.request("GET", self._path + path)
            answer = connection.getresponse()
            if answer.status != 200 or answer.readline() != b"held\n":
                raise Unavailable("the sidecar did not take the session")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._nobody(error) from error
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            connection.sock.settimeout(None)
        self._held.append(connection)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make a call; gives the JSON object of its answer, empty where it has none.

        Raises:
            ControlRefused: The sidecar refuses.
            Unavailable: No sidecar answers.
        """
        answer = self._asked(method, path, body, headers)
        try:
            return answer.json()
        except (TypeError, ValueError) as error:
            raise Unavailable(f"what answers at {self.url} is no sidecar") from error

    def read(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Read the content of an answer as it came; raises as `call` does."""
        return self._asked("GET", path, None, headers).content

    def _asked(
        self, method: str, path: str, body: object, headers: Mapping[str, str] | None
    ) -> _Answer:
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = self._sent(method, path, content, headers or {})
        except (OSError, http.client.HTTPException) as error:
            raise self._nobody(error) from error
        if answer.status >= 400:
            raise _refused(answer)
        return answer

    def _sent(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> _Answer:
        """Send a call on a kept connection; on a new one if it turns out to be closed."""
        if (kept := self._take()) is not None:
            try:
                return self._exchanged(kept, method, path, content, headers)
            except (ConnectionError, http.client.BadStatusLine):
                pass  # closed by the sidecar meanwhile: it read nothing of this call
        return self._exchanged(self._connection(), method, path, content, headers)

    def _exchanged(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> _Answer:
        try:
            connection.request(method, self._path + path, content, dict(headers))
            answer = connection.getresponse()
            said = _Answer(answer.status, answer.read())
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._keep(connection)
        return said

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        return kind(self.host, self._port, timeout=self._timeout_s)

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            if self._pid != os.getpid():  # the parent goes on using what a fork copied
                self._kept, self._pid = [], os.getpid()
            return self._kept.pop() if self._kept else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._kept) < _KEPT_CONNECTIONS and self._pid == os.getpid():
                self._kept.append(connection)
                return
        connection.close()

    def _nobody(self, error: Exception) -> Unavailable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unavailable(f"the sidecar at {self.url} is not reachable: {why}")

    def close(self) -> None:
        """Let go of everything that is held or kept."""
        with self._lock:
            connections, self._kept, self._held = [*self._kept, *self._held], [], []
        for connection in connections:
            connection.close()

    def __enter__(self) -> Self:
        """Do nothing; connections are made as needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the held session, which ends it."""
        self.close()


def _refused(answer: _Answer) -> ControlRefused:
    try:
        said = answer.json()
    except (TypeError, ValueError):
        said = {}
    error = said.get("error")
    told = error if isinstance(error, dict) else {"message": error}
    return ControlRefused(
        f"the sidecar refused: {told.get('message') or answer.status}",
        status=answer.status,
        code=str(told.get("code") or ""),
    )
