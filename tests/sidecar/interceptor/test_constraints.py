"""For which hosts a constrained CA may sign."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from remora_sidecar.interceptor.certificates import make_root
from remora_sidecar.interceptor.constraints import permits

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _path(permitted=None, excluded=None):
    key = ec.generate_private_key(ec.SECP256R1())
    root = make_root(key, NOW)
    constraints = x509.NameConstraints(
        permitted and [x509.DNSName(name) for name in permitted],
        excluded and [x509.DNSName(name) for name in excluded],
    )
    intermediate = (
        x509.CertificateBuilder(subject_name=x509.Name([]), issuer_name=root.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(constraints, critical=True)
        .sign(key, hashes.SHA256())
    )
    return (intermediate, root)


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("api.openai.com", True),
        ("eu.api.openai.com", True),
        ("*.api.openai.com", True),
        ("openai.com", False),
        ("*.openai.com", False),
        ("evilapi.openai.com", False),
        ("llm.example.com", False),
        ("x.azure.com", True),
        ("azure.com", False),
    ],
)
def test_a_constrained_ca_signs_for_its_hosts_alone(host, may):
    assert permits(_path(["api.openai.com", ".azure.com"]), host) is may


def test_what_is_excluded_is_not_signed_for():
    path = _path(excluded=["example.com"])
    assert not permits(path, "llm.example.com")
    assert permits(path, "llm.example.org")


def test_a_local_ca_signs_for_every_host():
    key = ec.generate_private_key(ec.SECP256R1())
    assert permits((make_root(key, NOW),), "llm.example.com")
