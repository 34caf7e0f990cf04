"""The certificate that gRPC serves with, read again when its files have changed.

Whoever renews certificates replaces files; new connections get the new ones, and those that stand
go on. What can't be used is said once, and the last good one serves until it is put right.
"""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from remora.errors import ConfigError, Problem

logger = logging.getLogger(__name__)

CERTIFICATE_VARIABLE = "REMORA_AGGREGATOR_TLS_CERT"
CLIENT_CA_VARIABLE = "REMORA_AGGREGATOR_CLIENT_CA"

type _Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the files are.

    Attributes:
        certificate: PEM, with the chain.
        key: PEM, without a password.
        client_ca: PEM of who signs clients' certificates; None: clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def stamp(self) -> _Stamp:
        """Tell one state of the files from another; raises OSError."""
        paths = (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))
        found = [path.stat() for path in paths]
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Read the files.

        Raises:
            ConfigError: They are no certificate and its key, or no CA.
            OSError: One can't be read.
        """
        self._check()
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        roots = self.client_ca.read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _check(self) -> None:
        """Have Python's own TLS read them: gRPC would only say that it can't listen."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password keeps an encrypted key from asking for one on the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            what = f"{self.certificate} and {self.key} are no certificate and its unencrypted key"
            raise ConfigError([Problem(CERTIFICATE_VARIABLE, f"{what}: {reason}")]) from None
        try:
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            what = f"{self.client_ca} holds no certificate of a CA: {reason}"
            raise ConfigError([Problem(CLIENT_CA_VARIABLE, what)]) from None


class ServingCertificate:
    """Gives gRPC the files as they are with each new connection."""

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files.

        Raises:
            ConfigError: They can't be used.
        """
        self._files = files
        self._lock = threading.Lock()
        try:
            self._stamp = files.stamp()
            self._first = files.configuration()
        except OSError as error:
            what = f"{error.filename} can't be read: {error.strerror}"
            raise ConfigError([Problem(CERTIFICATE_VARIABLE, what)]) from None

    def credentials(self) -> grpc.ServerCredentials:
        """Make what a port is opened with."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._changed,  # type: ignore[arg-type]  # None is no change, which the stubs do not know
            require_client_authentication=self._files.client_ca is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Give new files, None if there are none; called by gRPC, in threads of its own."""
        with self._lock:
            try:
                stamp = self._files.stamp()
                if stamp == self._stamp:
                    return None
                configuration = self._files.configuration()
                if self._files.stamp() != stamp:
                    return None  # they are just being replaced: the next connection looks again
            except (OSError, ConfigError) as error:
                self._complain(str(error))
                return None
            self._stamp, self._complaint = stamp, ""
            logger.info("serving with %s as it is now", self._files.certificate)
            return configuration

    _complaint = ""

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            logger.warning("the last good certificate serves on: %s", what)
        self._complaint = what
