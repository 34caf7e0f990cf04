"""Which calls are the same call: the key that an answer is kept under. Pure.

Everything that might change the answer is in it, and everything that tells tenants apart. What
is not known to be harmless counts: a call that should have been a hit costs one more call, an
answer for the wrong tenant can't be taken back. What is left out stands in ``harmless.yaml``.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from remora.frozen import quickly_made
from remora_sidecar.cache.canonical import canonical_body
from remora_sidecar.cache.credential import (
    Credential,
    CredentialKind,
    Named,
    credential_of,
    is_credential_header,
    is_credential_parameter,
)
from remora_sidecar.cache.harmless import Harmless, harmless
from remora_sidecar.model.exchange import Headers

_FORMAT = b"remora cache key 1"
"""Changes whenever the same call gets another key, so that old entries are just never found."""

POD_ONLY = "pod:"

_KEPT_HEADS = 256
_KEPT_BODIES = 128
_KEPT_BODY_BYTES = 8 * 1024


@quickly_made
@dataclass(frozen=True, slots=True)
class CacheKeyParts:
    """A call, as far as its answer may depend on it.

    Attributes:
        namespace: Whose the cache is.
        provider: Name of the provider that the call would go to.
        authority: Host that the call goes to, with its port where that is not the usual one.
        method: Such as ``POST``.
        path: Path of the target, as sent.
        query: Query without the question mark, credentials included.
        dialect: Name of the dialect that the call is in.
        sent_model: The model that policy chose to send.
        stream: The answer is asked for as a stream.
        headers: End-to-end fields as they would be sent, with the credential that would be sent.
        body: Decoded body as the agent sent it, before changes of ours other than the model.
        secret: Of this installation or, where a cache is shared, of that cache: fingerprints of
            credentials mean nothing without it.
    """

    namespace: str
    provider: str
    authority: str
    method: str
    path: str
    query: str
    dialect: str
    sent_model: str
    stream: bool
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    secret: bytes = field(repr=False)


def cache_key(parts: CacheKeyParts) -> str:
    """Return the key: 64 hex digits, after ``pod:`` if the answer may not leave the pod.

    It may not where the call names its credential without proving it by a secret (SigV4 with a
    lasting key): another pod could name the same.
    """
    head = _Head(
        parts.namespace, parts.provider, parts.authority, parts.method, parts.path, parts.query,
        parts.dialect, parts.sent_model, parts.stream, tuple(parts.headers), parts.secret,
    )  # fmt: skip
    begun, mark = _begun(head)
    digest = begun.copy()
    form, body = _body(parts.body, harmless(parts.provider, parts.dialect))
    digest.update(form)
    digest.update(body)
    return f"{mark}{digest.hexdigest()}"


class _Head(NamedTuple):
    """All of a call but its body."""

    namespace: str
    provider: str
    authority: str
    method: str
    path: str
    query: str
    dialect: str
    sent_model: str
    stream: bool
    headers: tuple[tuple[bytes, bytes], ...]
    secret: bytes


@lru_cache(maxsize=_KEPT_HEADS)
def _begun(head: _Head) -> "tuple[hashlib._Hash, str]":
    """Take in the head, and tell how the key begins; agents repeat their heads."""
    counted = _counted(head.headers, harmless(head.provider, head.dialect))
    parameters = head.query.split("&") if head.query else []
    credential = credential_of(
        [field for field in counted if is_credential_header(field[0])],
        [parameter for parameter in parameters if _is_credential(parameter)],
    )
    texts = (
        head.namespace, head.provider, head.authority.lower(), head.method, head.path,
        head.dialect, head.sent_model, "stream" if head.stream else "whole",
        credential.kind.value,
    )  # fmt: skip
    caller = fingerprint(credential, head.secret)
    mark = POD_ONLY if credential.kind is CredentialKind.SIGNED else ""
    return hashlib.sha256(_joined(_significant(texts, caller, counted, parameters))), mark


def may_be_shared(key: str) -> bool:
    """Tell whether an answer under this key may leave the pod."""
    return not key.startswith(POD_ONLY)


def fingerprint(credential: Credential, secret: bytes) -> bytes:
    """Stand for a credential where it must not be: equal for equal ones, else meaningless."""
    return hmac.digest(secret, _joined(credential.parts), "sha256")


def _joined(parts: Iterable[bytes]) -> bytes:
    """The parts in one, with their lengths: no two lists of parts give the same."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _significant(
    texts: Iterable[str], caller: bytes, counted: Named, parameters: Sequence[str]
) -> Iterator[bytes]:
    yield _FORMAT
    yield from map(_bytes, texts)
    yield caller
    yield from _listed(_bytes(part) for part in parameters if not _is_credential(part))
    yield from _listed(
        part for field in counted if not is_credential_header(field[0]) for part in field
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_credential(parameter: str) -> bool:
    return is_credential_parameter(parameter.partition("=")[0])


def _listed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts after their number."""
    listed = list(parts)
    yield b"%d" % len(listed)
    yield from listed


def _counted(headers: Headers, rules: Harmless) -> Named:
    """The fields that count, by name; those of one name keep their order."""
    counted = [
        (lower, value.strip())
        for name, value in headers
        if not rules.has_header(lower := name.lower())
    ]
    counted.sort(key=itemgetter(0))
    return counted


def _body(body: bytes, rules: Harmless) -> tuple[bytes, bytes]:
    """Write a body for the key; small ones that are asked again need not be parsed again."""
    written = _kept_body if len(body) <= _KEPT_BODY_BYTES else _written_body
    return written(body, rules.fields)


def _written_body(body: bytes, without: frozenset[str]) -> tuple[bytes, bytes]:
    """The canonical body without what does not matter; the bytes where it has no such form."""
    written = canonical_body(body, without)
    return (b"bytes", body) if written is None else (b"json", written)


_kept_body = lru_cache(maxsize=_KEPT_BODIES)(_written_body)
