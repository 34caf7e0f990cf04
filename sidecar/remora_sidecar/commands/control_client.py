"""A small client of a local sidecar's control listener, for the commands."""

import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from remora.errors import Unavailable
from remora_sidecar.settings import parse_address

_TIMEOUT_S = 5.0


class ControlClient:
    """Opens, holds, reads and ends sessions."""

    def __init__(self, address: str) -> None:
        """Take the control listener's ``host:port``."""
        self._address = parse_address(address)
        self._held: http.client.HTTPConnection | None = None

    def is_alive(self) -> bool:
        """Tell whether a ready sidecar answers here."""
        try:
            return bool(self.status().get("ready"))
        except Unavailable:
            return False

    def has_cache(self) -> bool:
        """Tell whether calls may be answered from a cache."""
        return bool(self.status().get("cache"))

    def status(self) -> dict[str, Any]:
        """Read what the sidecar says of itself to anybody."""
        return self._call("GET", "/v1/status")

    def read_policy(self, admin_token: str) -> dict[str, Any]:
        """Read the policy in force."""
        return self._call("GET", "/v1/policy", headers={"Authorization": f"Bearer {admin_token}"})

    def open_session(self, fields: dict[str, str]) -> dict[str, Any]:
        """Open a session; the answer has its id and proxy URL."""
        return self._call("POST", "/v1/sessions", fields)

    def read_session(self, session_id: str) -> dict[str, Any]:
        """Read a session's totals."""
        return self._call("GET", f"/v1/sessions/{session_id}")

    def hold(self, session_id: str) -> None:
        """Keep the session and its sidecar for as long as this client is open."""
        self._held = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
        self._held.request("GET", f"/v1/sessions/{session_id}/hold")
        answer = self._held.getresponse()
        if answer.status != 200 or answer.readline() != b"held\n":
            raise Unavailable("the sidecar did not take the session")

    def _call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
        try:
            content = json.dumps(body) if body is not None else None
            connection.request(method, path, content, dict(headers or {}))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            host, port = self._address
            raise Unavailable(f"no sidecar answers on {host}:{port}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise Unavailable(
                f"the sidecar refused: {said.get('error', {}).get('message', answer.status)}"
            )
        return dict(said)

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
        if self._held is not None:
            self._held.close()
