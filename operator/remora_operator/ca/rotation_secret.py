"""The CA and where its rotation stands, as a Secret of the operator's namespace keeps it. Pure.

``tls.crt`` and ``tls.key`` are the CA in Kubernetes' own layout, so that other tools can read it;
while there are two, the one that comes stands beside it.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from remora.errors import ConfigError, Problem
from remora_operator.ca.authority import Authority, Kind
from remora_operator.ca.brought import CERTIFICATE, KEY, NOT_SIGNED, ROOT, read_authority
from remora_operator.ca.rotation import Phase, Rotation, steady

STATE = "rotation.json"
NEW_CERTIFICATE = "new.crt"
NEW_KEY = "new.key"
CROSS = "cross.crt"


def secret_data(rotation: Rotation) -> dict[str, bytes]:
    """Write a rotation as a Secret's data, not yet in base64. It holds private keys."""
    state = {"phase": rotation.phase.value, "since": rotation.since.isoformat()}
    data = {
        CERTIFICATE: rotation.old.certificate_pem,
        KEY: rotation.old.key_pem,
        ROOT: rotation.old.root.public_bytes(Encoding.PEM),
        STATE: json.dumps(state, sort_keys=True).encode(),
    }
    if rotation.new is not None and rotation.cross is not None:
        data[NEW_CERTIFICATE] = rotation.new.certificate_pem
        data[NEW_KEY] = rotation.new.key_pem
        data[CROSS] = rotation.cross.public_bytes(Encoding.PEM)
    return data


def read_rotation(
    data: Mapping[str, bytes],
    now: datetime,
    kind: Kind,
    *,
    where: str = "Secret",
    is_new: bool = True,
) -> Rotation:
    """Read what `secret_data` wrote, or a CA that somebody else put there.

    What was ours already may have expired meanwhile, as an old root does that is still trusted:
    the status says so, and a rotation mends it. What is new to us must be valid now.

    Args:
        data: The Secret's data, decoded.
        now: UTC.
        kind: What the CA is for.
        where: How the Secret is called in problems.
        is_new: Whether what somebody else put there is trusted only now, and must be valid.

    Raises:
        ConfigError: It can't be used; never with a key's bytes.
    """
    if STATE not in data:
        valid_at = now if is_new else None
        return steady(read_authority(data, valid_at, kind, where=where), kind, now)
    old = read_authority(data, None, kind, where=where)
    phase, since = _state(data[STATE], where)
    if phase is Phase.STEADY:
        return Rotation(kind, phase, since, old)
    new = read_authority(
        {CERTIFICATE: data.get(NEW_CERTIFICATE, b""), KEY: data.get(NEW_KEY, b"")},
        None,
        kind,
        where=f"{where}, the new CA ({NEW_CERTIFICATE}, {NEW_KEY})",
    )
    return Rotation(kind, phase, since, old, new, _cross(data, old, new, where))


def _state(content: bytes, where: str) -> tuple[Phase, datetime]:
    try:
        said = json.loads(content)
        phase, since = Phase(said["phase"]), datetime.fromisoformat(said["since"])
    except (ValueError, TypeError, KeyError):
        raise _unfit(where, STATE, "does not say where the rotation stands") from None
    if since.tzinfo is None:
        raise _unfit(where, STATE, "says a time without its zone")
    return phase, since


def _cross(
    data: Mapping[str, bytes], old: Authority, new: Authority, where: str
) -> x509.Certificate:
    try:
        cross = x509.load_pem_x509_certificate(data.get(CROSS, b""))
        cross.verify_directly_issued_by(old.certificate)
    except (*NOT_SIGNED, x509.InvalidVersion):
        raise _unfit(where, CROSS, "is not a certificate that the old CA signed") from None
    if cross.public_key() != new.key.public_key():
        raise _unfit(where, CROSS, "is not the new CA's")
    return cross


def _unfit(where: str, key: str, what: str) -> ConfigError:
    return ConfigError([Problem(f"{where}: {key}", what)])
