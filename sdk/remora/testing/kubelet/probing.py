"""Asks containers: probes and hooks, from where a kubelet asks.

HTTP and TCP come from outside the pod, as from its node.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from remora.testing.kubelet.probe_spec import Exec, Handler, HttpGet, Probe, TcpConnect
from remora.testing.network import POD_IPV4, Namespace

_HOOK_S = 60.0

Run = Callable[[Sequence[str], float], Awaitable[int]]
"""Runs a command in the container within so many seconds; returns its exit code."""


class Prober:
    """Asks one container."""

    def __init__(self, node: Namespace, run: Run, pace: float) -> None:
        """Take from where and how.

        Args:
            node: Where HTTP and TCP come from.
            run: Runs commands in the container.
            pace: How many seconds a second of the spec's periods and delays lasts.
        """
        self._node = node
        self._run = run
        self._pace = pace

    async def passes(self, handler: Handler, timeout_s: float) -> bool:
        """Ask once."""
        if isinstance(handler, Exec):
            return await self._run(handler.command, timeout_s) == 0
        return await asyncio.to_thread(self._answers, handler, timeout_s)

    async def hook(self, handler: Handler) -> bool:
        """Run a lifecycle hook; tells whether it went well."""
        return await self.passes(handler, _HOOK_S)

    async def until(self, probe: Probe, *, outcome: bool) -> None:
        """Ask in the probe's period until as many answers in a row as it asks for are so."""
        await asyncio.sleep(probe.initial_delay_s * self._pace)
        wanted, found = probe.successes if outcome else probe.failures, 0
        while True:
            passed = await self.passes(probe.handler, probe.timeout_s)
            found = found + 1 if passed is outcome else 0
            if found >= wanted:
                return
            await asyncio.sleep(probe.period_s * self._pace)

    async def settled(self, probe: Probe) -> bool:
        """Ask until it passes as often, or fails as often in a row, as the probe says."""
        await asyncio.sleep(probe.initial_delay_s * self._pace)
        last, row = False, 0
        while True:
            passed = await self.passes(probe.handler, probe.timeout_s)
            last, row = passed, row + 1 if passed is last else 1
            if row >= (probe.successes if passed else probe.failures):
                return passed
            await asyncio.sleep(probe.period_s * self._pace)

    def _answers(self, handler: HttpGet | TcpConnect, timeout_s: float) -> bool:
        try:
            with self._connected(handler, timeout_s) as connection:
                return isinstance(handler, TcpConnect) or _get(handler, connection, timeout_s)
        except (OSError, http.client.HTTPException):
            return False

    def _connected(self, handler: HttpGet | TcpConnect, timeout_s: float) -> socket.socket:
        host = handler.host or POD_IPV4
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = self._node.open_socket(family, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect((host, handler.port))
        except OSError:
            connection.close()
            raise
        return connection


def _get(asked: HttpGet, connection: socket.socket, timeout_s: float) -> bool:
    host = asked.host or POD_IPV4
    client = http.client.HTTPConnection(host, asked.port, timeout=timeout_s)
    with contextlib.closing(client):
        client.sock = _unchecked_tls(connection, host) if asked.is_tls else connection
        client.request("GET", asked.path, headers=dict(asked.headers))
        return 200 <= client.getresponse().status < 400


def _unchecked_tls(connection: socket.socket, host: str) -> ssl.SSLSocket:
    """Speak TLS without a look at the certificate, as the kubelet does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host)
