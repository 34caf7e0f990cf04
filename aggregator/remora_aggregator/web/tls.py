"""The certificate that the HTTP listener shows: read anew when its files change."""

import logging
import ssl
from typing import Any

from remora.errors import ConfigError
from remora_aggregator.serving_certificate import CertificateFiles

logger = logging.getLogger(__name__)


class RenewedContext:
    """TLS whose certificate may be renewed while it is in use.

    The files are looked at with each handshake; connections that stand keep what they have.

    Attributes:
        context: For the listener.
    """

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files, which have been found fit before.

        Raises:
            OSError: One can't be read.
        """
        self._files = files
        self._stamp = files.stamp()
        self._current = self._load()
        self.context = self._load()
        self.context.sni_callback = self._choose

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A password keeps an encrypted key from asking for one on the terminal.
        context.load_cert_chain(self._files.certificate, self._files.key, password="")
        if self._files.client_ca is not None:
            # A browser signs in with a token; a program may show a certificate instead.
            context.load_verify_locations(self._files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                self._current, self._stamp = self._load(), stamp
                logger.info("HTTP serves with %s as it is now", self._files.certificate)
        except (OSError, ValueError, ConfigError) as error:
            logger.warning("the last good certificate serves HTTP on: %s", error)
        connection.context = self._current
