"""The authority of a sidecar in a cluster: CAs that the operator signed, in memory alone.

They are exchanged while connections go on: who has shaken hands keeps its session, who connects
next is served by the new ones. After their end nothing is served: a leaf that no agent would
accept is not made, and the log says why.
"""

from cryptography.hazmat.primitives.asymmetric import ec

from remora.clock import Clock
from remora.errors import Unavailable
from remora_sidecar.interceptor.certificates import Issuer
from remora_sidecar.interceptor.issued import Issued, utc
from remora_sidecar.interceptor.leaf_cache import LeafCache, LeafCredential

NOT_YET = "no certificate has come from the operator yet"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key, which lives in this process and nowhere else."""
    return ec.generate_private_key(ec.SECP256R1())


class IssuedAuthority:
    """Signs with what was installed last.

    Attributes:
        issued: What that is; None before the first.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with nothing to sign with."""
        self.issued: Issued | None = None
        self._clock = clock
        self._leaves = LeafCache(self._issuer_for, clock)

    @property
    def root_pem(self) -> bytes:
        """The certificates (PEM) that agents must trust; empty before the first came."""
        return b"" if self.issued is None else self.issued.roots_pem

    def install(self, issued: Issued) -> None:
        """Sign with these from the next connection on."""
        self.issued = issued
        self._leaves = LeafCache(self._issuer_for, self._clock)

    def may_sign(self, host: str) -> bool:
        """Tell whether leaves are valid for a host, or for all below a ``*.``."""
        return self.issued is not None and self.issued.issuer_for(host) is not None

    def leaf(self, sni: str) -> LeafCredential:
        """Find or make the credential for a server name.

        Raises:
            BadRequest: If it isn't a host name.
            Unavailable: If the certificates have ended or are not good for the name.
        """
        return self._leaves.leaf(sni)

    def _issuer_for(self, name: str) -> Issuer:
        if self.issued is None:
            raise Unavailable(NOT_YET)
        if utc(self._clock.now_unix_ns()) >= self.issued.end:
            raise Unavailable(
                f"the certificate of this pod expired at {self.issued.end:%Y-%m-%d %H:%M} UTC and "
                "the operator has signed no other"
            )
        issuer = self.issued.issuer_for(name)
        if issuer is None:
            raise Unavailable(
                f"the certificate of this pod is not good for {name}: the operator made it for "
                "other hosts"
            )
        return issuer
