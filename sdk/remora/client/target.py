"""Where an aggregator is and how it is spoken to: the one place that opens channels to it.

Used by the sidecar's reporter and by the clients beside this module. What stays on this
machine may go in the clear; everything else goes over TLS, and so does the token.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc

from remora.client.address import check_address, is_on_this_machine
from remora.errors import ConfigError, Problem

_OPTIONS: tuple[tuple[str, int], ...] = (
    # A record may carry two captured bodies of up to 64 MiB.
    ("grpc.max_receive_message_length", 160 * 1024 * 1024),
    # A server with gRPC's defaults cuts off who pings an idle stream more often than every 5 min.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Every channel dials afresh: no back-off and no credentials of an earlier one.
    ("grpc.use_local_subchannel_pool", 1),
    # `remora run` sets proxy variables for its child; the aggregator is never behind them.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class AggregatorTarget:
    """An aggregator's address and what it takes to be let in.

    Attributes:
        address: ``host:port``, ``[v6]:port`` or ``unix:/path``.
        token_file: File whose first word is the token; `#` lines are passed over, so that
            a line of the aggregator's own token file serves too.
        ca_file: PEM file with the root that signed the aggregator's certificate; None: the
            public roots, or no TLS at all where the aggregator is on this machine.
    """

    address: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ca_file is not None or not is_on_this_machine(self.address)

    def channel(self) -> grpc.Channel:
        """Open a new channel, with the credentials as they are in their files now.

        Raises:
            ConfigError: The address is none, or a file can't be used.
        """
        address, token = self._address(), self._token()
        if self.is_secure:
            return grpc.secure_channel(address, self._credentials(token), options=_OPTIONS)
        channel = grpc.insecure_channel(address, options=_OPTIONS)
        if not token:
            return channel
        from remora.client.bearer import BearerInterceptor

        return grpc.intercept_channel(channel, BearerInterceptor(token))

    def aio_channel(self) -> grpc.aio.Channel:
        """Open a new channel for asyncio, with the credentials as they are in their files now.

        Raises:
            ConfigError: The address is none, or a file can't be used.
        """
        address, token = self._address(), self._token()
        if self.is_secure:
            return grpc.aio.secure_channel(address, self._credentials(token), options=_OPTIONS)
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        if not token:
            return channel
        from remora.client.bearer import with_bearer

        return with_bearer(channel, token)

    def _address(self) -> str:
        try:
            return check_address(self.address)
        except ValueError as error:
            raise ConfigError([Problem("aggregator", str(error))]) from None

    def _credentials(self, token: str) -> grpc.ChannelCredentials:
        roots = None if self.ca_file is None else _read_roots(self.ca_file)
        credentials = grpc.ssl_channel_credentials(roots)
        if not token:
            return credentials
        bearer = grpc.access_token_call_credentials(token)
        return grpc.composite_channel_credentials(credentials, bearer)

    def _token(self) -> str:
        return "" if self.token_file is None else read_token(self.token_file)


def read_token(file: Path) -> str:
    """Read a token from its file.

    Raises:
        ConfigError: The file can't be read or holds no token; never says what it holds.
    """
    text = _read(file).decode("utf-8", errors="replace")
    lines = (line.strip() for line in text.splitlines())
    token = next((line.split()[0] for line in lines if line and not line.startswith("#")), "")
    if not token:
        raise ConfigError([Problem(str(file), "holds no token")])
    if not (token.isascii() and token.isprintable()):
        raise ConfigError([Problem(str(file), "holds a token that is not printable ASCII")])
    return token


def _read_roots(file: Path) -> bytes:
    roots = _read(file)
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        raise ConfigError([Problem(str(file), "holds no certificate in PEM form")])
    return roots


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(file), f"can't be read: {error.strerror}")]) from None
