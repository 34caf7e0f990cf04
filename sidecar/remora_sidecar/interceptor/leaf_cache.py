"""Leaf certificates with a ready TLS context each, made once per server name.

The authorities use it; the interceptor only sees what comes out. Making a context costs
half a millisecond, finding one half a microsecond, so new connections never wait.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from remora.clock import Clock
from remora_sidecar.interceptor.certificates import Issuer, make_leaf, server_name

DEFAULT_CAPACITY = 1024
"""Names kept; the hosts of all built-in providers and their regions are fewer."""

_CIPHERS = b":".join(
    [
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
    ]
)
"""For TLS 1.2: what an ECDSA leaf can serve with forward secrecy; 1.3 needs no list."""

_HTTP1 = b"http/1.1"
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION


@dataclass(frozen=True, slots=True)
class LeafCredential:
    """What serves TLS in one name.

    Attributes:
        certificate: Carries the server's name and nothing else.
        key: Its private key.
        chain: What is sent after the certificate.
        context: Ready for ``SSL.Connection``; TLS 1.2 or later, ALPN http/1.1.
        renew_at_unix_ns: When half of the certificate's life has passed.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    context: SSL.Context
    renew_at_unix_ns: int


type IssuerOf = Callable[[str], Issuer]
"""Gives who signs for a server name; raises Unavailable where nobody may."""


class LeafCache:
    """The leaves that were made; the least recently used goes first. For one thread."""

    def __init__(
        self, issuer: Issuer | IssuerOf, clock: Clock, *, capacity: int = DEFAULT_CAPACITY
    ) -> None:
        """Make the one key that all leaves share; it lives and dies with this object."""
        self._issuer_of = (lambda _: issuer) if isinstance(issuer, Issuer) else issuer
        self._clock = clock
        self._capacity = capacity
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaves: OrderedDict[str, LeafCredential] = OrderedDict()

    def leaf(self, sni: str) -> LeafCredential:
        """Find or make the credential for a server name.

        Raises:
            BadRequest: If it isn't a host name.
            Unavailable: If the issuer has expired, or nobody may sign for the name.
        """
        known = self._leaves.get(sni)
        now_unix_ns = self._clock.now_unix_ns()
        if known is not None and now_unix_ns < known.renew_at_unix_ns:
            self._leaves.move_to_end(sni)
            return known
        name = server_name(sni)
        return self._make(name, now_unix_ns) if name == sni else self.leaf(name)

    def _make(self, name: str, now_unix_ns: int) -> LeafCredential:
        now = datetime.fromtimestamp(now_unix_ns // 1_000_000_000, UTC)
        issuer = self._issuer_of(name)
        certificate = make_leaf(name, self._key.public_key(), issuer, now)
        chain = issuer.chain
        half = (certificate.not_valid_after_utc - now) // 2
        made = LeafCredential(
            certificate,
            self._key,
            chain,
            server_context(certificate, self._key, chain),
            now_unix_ns + half // timedelta(microseconds=1) * 1000,
        )
        self._leaves[name] = made
        self._leaves.move_to_end(name)
        if len(self._leaves) > self._capacity:
            self._leaves.popitem(last=False)
        return made


def server_context(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    chain: tuple[x509.Certificate, ...],
) -> SSL.Context:
    """Make the context that serves a leaf."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    # Tickets resume sessions without state; the cache would keep 20,000 sessions a name.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # An idle connection then holds no 34 kB of record buffers.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(
        lambda _, offered: _HTTP1 if _HTTP1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
    )
    context.use_certificate(certificate)
    context.use_privatekey(key)
    for link in chain:
        context.add_extra_chain_cert(link)
    return context
