"""An operator's CertificateService for tests: signs with roots of its own whatever is asked for.

It stands where a test is about the sidecar. The operator's own service, with its identities and
limits, is in `remora_operator.delivery`.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from remora.clock import Clock, SystemClock
from remora.providers import ProviderRegistry
from remora.providers.certificate_hosts import certificate_hosts
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc

_HOSTS_EACH = 40
_SKEW = timedelta(hours=1)

_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Root:
    """A self-signed CA with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


class CertificateServer(pb_grpc.CertificateServiceServicer):
    """The operator's half of `CertificateService`.

    Attributes:
        hosts: What is permitted; all hosts of built-in providers unless a test says otherwise.
        requests: What was asked, in order.
        refuses_with: Answer with this status instead; None: sign.
        life_s: How long intermediates live.
        renew_after_s: When sidecars are told to come again; None: after half of that.
        for_key: Sign this key instead of the one asked for.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """Make a first root."""
        self.hosts: Sequence[str] = certificate_hosts(ProviderRegistry.builtin())
        self.requests: list[pb.SignRequest] = []
        self.refuses_with: grpc.StatusCode | None = None
        self.life_s = 86_400.0
        self.renew_after_s: float | None = None
        self.for_key: ec.EllipticCurvePublicKey | None = None
        self._clock = clock or SystemClock()
        self._roots = [self._made_root("first")]
        self._links: list[x509.Certificate] = []

    @property
    def root_pem(self) -> bytes:
        """The root that signs now."""
        return self._roots[0].certificate.public_bytes(Encoding.PEM)

    def rotate(self) -> None:
        """Sign with a new root, for which the old one vouches."""
        new, old = self._made_root(f"number {len(self._roots) + 1}"), self._roots[0]
        builder = self._ca(new.certificate.subject, new.key.public_key(), old.certificate, 1)
        self._links = [builder.sign(old.key, hashes.SHA256())]
        self._roots.insert(0, new)

    async def Sign(  # noqa: N802 - the method's name on the wire
        self,
        request: pb.SignRequest,
        context: grpc.aio.ServicerContext[pb.SignRequest, pb.SignResponse],
    ) -> pb.SignResponse:
        """Sign, or refuse as told."""
        self.requests.append(request)
        if self.refuses_with is not None:
            await context.abort(self.refuses_with, "the words of the operator")
        asked = x509.load_der_x509_csr(request.certificate_request).public_key()
        assert isinstance(asked, ec.EllipticCurvePublicKey)  # noqa: S101 - a test's own request
        groups = list(batched(self.hosts, _HOSTS_EACH))
        made = [self._intermediate(self.for_key or asked, group) for group in groups]
        return pb.SignResponse(
            intermediates=[
                pb.SignResponse.Intermediate(certificate=_der(one), permitted_names=group)
                for one, group in zip(made, groups, strict=True)
            ],
            links=map(_der, self._links),
            roots=[_der(root.certificate) for root in self._roots],
            renew_after_s=self.life_s / 2 if self.renew_after_s is None else self.renew_after_s,
            permitted_hosts=self.hosts,
            operator_version="9.9",
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_unix_ns() // 1_000_000_000, UTC)

    def _made_root(self, name: str) -> Root:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"a test's root, {name}")])
        builder = self._ca(subject, key.public_key(), None, 2, life=timedelta(days=3650))
        return Root(builder.sign(key, hashes.SHA256()), key)

    def _intermediate(
        self, key: ec.EllipticCurvePublicKey, hosts: Sequence[str]
    ) -> x509.Certificate:
        root = self._roots[0]
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"for {hosts[0]} and others"[:64])]
        )
        life = timedelta(seconds=self.life_s)
        every_address = [ipaddress.ip_network(one) for one in ("0.0.0.0/0", "::/0")]
        constraints = x509.NameConstraints(
            [x509.DNSName(host.removeprefix("*.")) for host in hosts],
            [x509.IPAddress(network) for network in every_address],
        )
        builder = self._ca(name, key, root.certificate, 0, life=life)
        return builder.add_extension(constraints, critical=True).sign(root.key, hashes.SHA256())

    def _ca(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        issuer: x509.Certificate | None,
        path_length: int,
        life: timedelta = timedelta(days=3000),
    ) -> x509.CertificateBuilder:
        now = self._now()
        own_key = x509.SubjectKeyIdentifier.from_public_key(key)
        signing_key = own_key if issuer is None else _key_id(issuer)
        return (
            x509.CertificateBuilder(
                subject_name=subject, issuer_name=issuer.subject if issuer else subject
            )
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(own_key, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signing_key),
                critical=False,
            )
        )


def _key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
