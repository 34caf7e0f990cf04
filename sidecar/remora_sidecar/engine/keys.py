"""The keys that policy's credentials name: read from mounted files or variables, kept hidden.

A mounted Secret changes by the swap of a symlink that tells nobody, so files are looked at
again, at most once a second. Where a key may go is asked twice: before it is read (`Keys.find`)
and before it is sent (`may_carry`).
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cachetools import LRUCache

from remora.clock import Clock
from remora.policy.limits import Credential
from remora.providers import AuthScheme, Provider
from remora.providers.hosts import normalized_host
from remora_sidecar.engine.secret_file import FileStamp, file_stamp, read_secret_file
from remora_sidecar.engine.signing import AwsKey, read_aws_key
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.secret_text import SecretText
from remora_sidecar.policy.key_carriers import key_problem

LOOK_EVERY_S = 1.0

_KEPT = 256
_NAME = re.compile(r"[A-Za-z0-9_][-._A-Za-z0-9]*|\.[-_A-Za-z0-9][-._A-Za-z0-9]*")
"""Of a folder or file that a Secret is mounted as: no separator, nothing that leads upwards."""

_OWN_VARIABLES = ("REMORA_", "OTEL_")
"""Settings of the sidecar itself, tokens and passwords among them, are nobody's credentials."""

_normalized = lru_cache(maxsize=_KEPT)(normalized_host)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one credential.

    Attributes:
        provider: Name of the only provider that it may be sent to.
        text: What the Secret holds.
        aws: Set where it signs requests and is not sent itself.
    """

    provider: str
    text: SecretText
    aws: AwsKey | None = None

    def fingerprint(self, secret: bytes) -> str:
        """Stand for the key where it must not be: equal for equal ones, else meaningless."""
        return hmac.digest(secret, _bytes(self.text.reveal()), "sha256").hex()


@dataclass(frozen=True, slots=True)
class KeyMissing:
    """No key can be sent.

    Attributes:
        reason: What is wrong and what to do; holds nothing of a key.
    """

    reason: str


class _Wanted(NamedTuple):
    provider: str
    secret: str
    key: str
    signs: bool

    @property
    def variable(self) -> str:
        return re.sub(r"[^A-Za-z0-9]", "_", f"{self.secret}_{self.key}").upper()

    def unusable(self, where: Path | str, why: str) -> KeyMissing:
        return KeyMissing(f"the key for {self.provider!r} can't be used: {where} {why}")


class _Look(NamedTuple):
    at_s: float
    stamp: FileStamp | None
    found: Key | KeyMissing


class Keys:
    """All keys of one sidecar."""

    def __init__(self, secrets_dir: Path, environ: Mapping[str, str], clock: Clock) -> None:
        """Take where keys are; nothing is read yet.

        Args:
            secrets_dir: Holds a folder for each Secret, and in it a file for each of its keys.
            environ: Where a key is looked for that has no file.
            clock: Tells when to look again.
        """
        self._dir = secrets_dir
        self._environ = environ
        self._clock = clock
        self._looks: LRUCache[_Wanted, _Look] = LRUCache(_KEPT)

    def find(self, credential: Credential, provider: Provider) -> Key | KeyMissing:
        """Return the key that calls to a provider carry, as it is now."""
        ref = credential.secret_ref
        problem = _problem_with(credential, provider)
        if problem is not None:
            return KeyMissing(problem)
        if ref is None:
            return KeyMissing(f"the credential of {provider.name!r} names no secret")
        wanted = _Wanted(provider.name, ref.name, ref.key, provider.auth is AuthScheme.SIGV4)
        look, now_s = self._looks.get(wanted), self._clock.monotonic_s()
        if look is None or now_s - look.at_s >= LOOK_EVERY_S:
            look = self._looks[wanted] = self._look(wanted, look, now_s)
        return look.found

    def _look(self, wanted: _Wanted, before: _Look | None, now_s: float) -> _Look:
        if _NAME.fullmatch(wanted.secret) is None or _NAME.fullmatch(wanted.key) is None:
            what = "secretRef should name a Secret and a key of it, not a path"
            return _Look(now_s, None, KeyMissing(what))
        path = self._dir / wanted.secret / wanted.key
        # The stamp comes first: what changes between the two is seen at the next look.
        stamp = file_stamp(path)
        if before is not None and before.stamp == stamp:
            return before._replace(at_s=now_s)
        in_variable = stamp is None
        found = self._in_variable(wanted, path) if in_variable else self._in_file(wanted, path)
        return _Look(now_s, stamp, found)

    def _in_file(self, wanted: _Wanted, path: Path) -> Key | KeyMissing:
        try:
            text = read_secret_file(path, self._dir)
        except ValueError as error:
            return wanted.unusable(path, str(error))
        return _read(text, wanted, path)

    def _in_variable(self, wanted: _Wanted, path: Path) -> Key | KeyMissing:
        name = wanted.variable
        nowhere = f"no key for {wanted.provider!r}: there is no file {path}"
        if name.startswith(_OWN_VARIABLES):
            return KeyMissing(f"{nowhere}; mount the Secret")
        text = self._environ.get(name)
        if text is None:
            instead = f"and no variable {name}; mount the Secret or set the variable"
            return KeyMissing(f"{nowhere} {instead}")
        return _read(text, wanted, f"the variable {name}")


def may_carry(credential: Credential, provider: Provider, endpoint: Endpoint) -> str | None:
    """Say why a request to an endpoint may not carry a credential's key; None if it may.

    The last question before a key is put in, whatever was asked before.
    """
    if (problem := _problem_with(credential, provider)) is not None:
        return problem
    host = _normalized(endpoint.host)
    if not any(pattern.matches(host) for pattern in provider.hosts):
        return f"{host!r} is no host of the provider {provider.name!r}: its key is not sent there"
    if endpoint.tls != provider.tls:
        how = "over" if provider.tls else "without"
        return f"the key of {provider.name!r} is sent {how} TLS only"
    if endpoint.port not in provider.ports:
        ports = ", ".join(map(str, provider.ports))
        return (
            f"port {endpoint.port} of {host!r} is not {provider.name!r}, whose key goes to {ports}"
        )
    return None


def _problem_with(credential: Credential, provider: Provider) -> str | None:
    if provider.run_time:
        return f"the provider {provider.name!r} was added at run time: no key is sent to it"
    if credential.provider != provider.name:
        return f"the credential of {credential.provider!r} is not for {provider.name!r}"
    if not provider.tls and not provider.allow_insecure:
        return (
            f"the provider {provider.name!r} is reached without TLS: no key is sent to it unless "
            "its LLMProvider says allowInsecure: true"
        )
    return None


def _read(text: str, wanted: _Wanted, where: Path | str) -> Key | KeyMissing:
    text = text.strip()
    aws = read_aws_key(text) if wanted.signs and text else None
    problem = key_problem(text) if aws is None else None
    if isinstance(aws, str):
        problem, aws = aws, None
    if problem is not None:
        return wanted.unusable(where, problem)
    return Key(wanted.provider, SecretText(text), aws)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
