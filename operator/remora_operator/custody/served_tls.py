"""What our servers show in TLS handshakes: the certificate of a Secret, as it is now.

The listener's context stays one object for as long as the process runs; each handshake takes the
newest certificate. (Loading it into that context itself would keep the old one beside it where the
kind of key has changed.) The key is never written to a disk.
"""

import logging
import os
import ssl
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import grpc
from cryptography import x509

from remora.errors import Problem, Unavailable
from remora_operator.ca.brought import CERTIFICATE, KEY
from remora_operator.custody.secret_store import StoredSecret
from remora_operator.custody.serving_keeper import leaf_of

logger = logging.getLogger(__name__)


class ServedTls:
    """The TLS of one server.

    Attributes:
        context: For listeners; handshakes fail until there is a certificate.
        leaf: The certificate that is served; None before the first.
    """

    def __init__(self) -> None:
        """Start without a certificate."""
        self.context = _server_context()
        self.context.sni_callback = self._choose
        self.leaf: x509.Certificate | None = None
        self._current: ssl.SSLContext | None = None
        self._configuration: grpc.ServerCertificateConfiguration | None = None
        self._version = ""

    def use(self, stored: StoredSecret) -> bool:
        """Serve with a Secret's certificate from now on.

        Returns:
            Whether it can be used; if not, the last good one is served on.
        """
        if stored.version == self._version:
            return True
        leaf = leaf_of(stored)
        if leaf is None:
            return False
        try:
            self._current = _loaded(stored.data)
        except (ssl.SSLError, ValueError) as error:
            logger.warning("%s can't be served: %s", stored.name, error)
            return False
        self._configuration = grpc.ssl_server_certificate_configuration(
            [(stored.data[KEY], stored.data[CERTIFICATE])]
        )
        self.leaf, self._version = leaf, stored.version
        logger.info("serving with %s until %s", stored.name, leaf.not_valid_after_utc.isoformat())
        return True

    def is_valid(self, now: datetime) -> bool:
        """Whether clients accept the certificate by its dates."""
        leaf = self.leaf
        return leaf is not None and leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Make what a gRPC port is opened with.

        Raises:
            Unavailable: There is no certificate yet.
        """
        first = self._configuration
        if first is None:
            raise Unavailable("there is no certificate yet to serve gRPC with")
        changed = _Changes(self, first)
        return grpc.dynamic_ssl_server_credentials(first, changed)  # type: ignore[arg-type]  # None is no change, which the stubs do not know

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificate as gRPC takes it; None before the first."""
        return self._configuration

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


class _Changes:
    """Gives gRPC a certificate once; gRPC asks in threads of its own."""

    def __init__(self, served: ServedTls, given: grpc.ServerCertificateConfiguration) -> None:
        self._served = served
        self._given = given
        self._lock = threading.Lock()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            newest = self._served.configuration
            if newest is None or newest is self._given:
                return None
            self._given = newest
            return newest


def serving_problems(
    leaf: x509.Certificate | None, name: str, where: str, now: datetime
) -> tuple[Problem, ...]:
    """Say why the API server refuses a certificate; it calls the server by ``name``."""
    if leaf is None:
        return (Problem(where, "there is no certificate to serve with yet"),)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    found = []
    if now >= end:
        found.append(f"the certificate expired at {end:%Y-%m-%d %H:%M} UTC: no pod is injected")
    if now < start:
        found.append(f"the certificate is valid only from {start:%Y-%m-%d %H:%M} UTC")
    if name not in _names(leaf):
        found.append(f"the certificate is not good for {name}: no pod is injected")
    return tuple(Problem(where, what) for what in found)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(held.get_values_for_type(x509.DNSName))


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _loaded(data: Mapping[str, bytes]) -> ssl.SSLContext:
    """Make a context with a certificate; OpenSSL reads files only, so it is given one in memory."""
    context = _server_context()
    file = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        content = memoryview(data[KEY] + b"\n" + data[CERTIFICATE])
        while content:
            content = content[os.write(file, content) :]
        # A password keeps an encrypted key from asking for one on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")
    finally:
        os.close(file)
    return context
