"""The environment in which a program trusts the sidecar's CA and finds its proxy.

Pure: `remora run`, the control listener's `/v1/env` and the injector all take their
variables from here. docs/trust.md explains each choice and what can't be reached by
variables at all.

Additive: nothing that the caller set is changed. A value of the caller's own wins and is
reported, lists and option strings are appended to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

CA_FILE = "ca.pem"
"""The sidecar's CA alone."""

BUNDLE_FILE = "bundle.pem"
"""Public roots and the sidecar's CA."""

TRUSTSTORE_FILE = "truststore.p12"
"""The bundle as a Java truststore: PKCS12 without a password."""

TRUST_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        # These replace the program's own roots, so they need the whole bundle.
        "SSL_CERT_FILE": BUNDLE_FILE,  # OpenSSL, Python, httpx, Go, curl, uv, Ruby
        "REQUESTS_CA_BUNDLE": BUNDLE_FILE,  # Python requests
        "CURL_CA_BUNDLE": BUNDLE_FILE,
        "AWS_CA_BUNDLE": BUNDLE_FILE,  # boto3, AWS CLI and SDKs
        "GIT_SSL_CAINFO": BUNDLE_FILE,
        "PIP_CERT": BUNDLE_FILE,
        "CARGO_HTTP_CAINFO": BUNDLE_FILE,
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": BUNDLE_FILE,
        # These add to the program's own roots.
        "NODE_EXTRA_CA_CERTS": CA_FILE,  # Node, Bun, Electron
        "DENO_CERT": CA_FILE,
    }
)
"""Which file each variable points at; mixing the two kinds breaks other TLS servers."""

PROXY_VARIABLES = (("HTTPS_PROXY", "https_proxy"), ("HTTP_PROXY", "http_proxy"))
"""Both spellings, since curl reads only ``http_proxy`` and others only capitals."""

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Never through a proxy: the program's own services, and the sidecar's own listeners."""

_NO_PROXY = ("NO_PROXY", "no_proxy")
_JAVA = "JAVA_TOOL_OPTIONS"
_JavaProperties = tuple[tuple[str, str], ...]
_JAVA_DEFAULT_BYPASS = ("localhost", "127.*", "[::1]")


@dataclass(frozen=True)
class EnvironmentPlan:
    """What to add to a program's environment, and what was left alone.

    Attributes:
        added: Variables to set. Where a variable exists, the value contains the old one.
        kept: Variables of the caller's that stay though they stand in the way, each with
            what follows from that.
    """

    added: dict[str, str]
    kept: tuple[tuple[str, str], ...]


def agent_environment(
    trust_dir: PurePath,
    proxy_url: str | None,
    existing: Mapping[str, str],
    *,
    bypass: Sequence[str] = (),
) -> EnvironmentPlan:
    """Plan the environment of an agent.

    Args:
        trust_dir: The trust folder, by the path at which the agent sees it.
        proxy_url: The sidecar as an HTTP proxy; None where traffic is redirected to it.
        existing: What the agent has now. An empty value counts as not set.
        bypass: More hosts to reach without the proxy, in the form of ``NO_PROXY``.
    """
    plan = _Plan({name: value for name, value in existing.items() if value})
    needs_ours = f"who reads such a file trusts Remora only if it includes {trust_dir / CA_FILE}"
    for name, file in TRUST_VARIABLES.items():
        plan.set(name, str(trust_dir / file), needs_ours)
    java = [_java_trust(trust_dir)]
    if proxy_url is not None:
        no_proxy = _add_proxy(plan, proxy_url, (*LOCAL_HOSTS, *bypass))
        java += [
            _java_proxy(proxy_url, "https"),
            _java_proxy(proxy_url, "http"),
            _java_bypass(no_proxy),
        ]
    _add_java(plan, java)
    return EnvironmentPlan(plan.added, tuple(plan.kept))


class _Plan:
    """Collects additions to an environment; the caller's own values win."""

    def __init__(self, existing: Mapping[str, str]) -> None:
        self.existing = existing
        self.added: dict[str, str] = {}
        self.kept: list[tuple[str, str]] = []

    def set(self, name: str, value: str, reason: str) -> None:
        if name not in self.existing:
            self.added[name] = value
        elif self.existing[name] != value:
            self.kept.append((name, reason))

    def replace(self, name: str, value: str) -> None:
        if self.existing.get(name) != value:
            self.added[name] = value


def _add_proxy(plan: _Plan, proxy_url: str, bypass: Sequence[str]) -> list[str]:
    url = _with_password(proxy_url)
    for spellings in PROXY_VARIABLES:
        _add_spellings(plan, spellings, url)
    plan.set("NODE_USE_ENV_PROXY", "1", "Node then goes past Remora")
    if "ALL_PROXY" in plan.existing or "all_proxy" in plan.existing:
        name = "ALL_PROXY" if "ALL_PROXY" in plan.existing else "all_proxy"
        plan.kept.append(
            (name, "HTTP and HTTPS go to Remora, which does not use it; other protocols do")
        )
    return _add_bypass(plan, bypass)


def _add_spellings(plan: _Plan, spellings: tuple[str, str], url: str) -> None:
    """Set both spellings or, where the caller set one, neither: programs differ in which wins."""
    foreign = [name for name in spellings if plan.existing.get(name, url) != url]
    for name in foreign:
        plan.kept.append((name, "programs that use this proxy go past Remora"))
    for name in () if foreign else spellings:
        plan.replace(name, url)


def _add_bypass(plan: _Plan, bypass: Sequence[str]) -> list[str]:
    """Extend both spellings of ``NO_PROXY``; a spelling that is not set copies the other."""
    theirs = [_entries(plan.existing.get(name, "")) for name in _NO_PROXY]
    every = [name for name, entries in zip(_NO_PROXY, theirs, strict=True) if "*" in entries]
    for name in every:
        plan.kept.append((name, "it excludes every host, so programs go past Remora"))
    for name, own, other in zip(_NO_PROXY, theirs, reversed(theirs), strict=True):
        if not every:
            plan.replace(name, ",".join(dict.fromkeys((*(own or other), *bypass))))
    return list(dict.fromkeys((*theirs[0], *theirs[1], *bypass)))


def _entries(no_proxy: str) -> list[str]:
    return [entry for part in no_proxy.split(",") for entry in part.split()]


def _with_password(proxy_url: str) -> str:
    """Give a user without a password one: requests and Node send no user name else."""
    parts = urlsplit(proxy_url)
    if not parts.username or parts.password:
        return proxy_url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:x@{host}"))


def _java_trust(trust_dir: PurePath) -> _JavaProperties:
    return (
        ("javax.net.ssl.trustStore", str(trust_dir / TRUSTSTORE_FILE)),
        ("javax.net.ssl.trustStoreType", "PKCS12"),
    )


def _java_proxy(proxy_url: str, scheme: str) -> _JavaProperties:
    """Java's own settings, which have no place for a user name."""
    parts = urlsplit(proxy_url)
    host, port = parts.hostname or "", str(parts.port or 80)
    return ((f"{scheme}.proxyHost", host), (f"{scheme}.proxyPort", port))


def _java_bypass(no_proxy: Sequence[str]) -> _JavaProperties:
    more = [pattern for entry in no_proxy for pattern in _java_patterns(entry)]
    if not more:
        return ()
    patterns = dict.fromkeys((*_JAVA_DEFAULT_BYPASS, *more))
    return (("http.nonProxyHosts", "|".join(patterns)),)


def _java_patterns(entry: str) -> tuple[str, ...]:
    """Write an entry of ``NO_PROXY``, which covers subdomains, as Java does."""
    if entry == "*":
        return ("*",)
    if entry in LOCAL_HOSTS or "/" in entry:
        return ()
    if entry.count(":") > 1:
        return (f"[{entry.strip('[]')}]",)
    name = entry.partition(":")[0].removeprefix("*").removeprefix(".")
    is_address = name.rpartition(".")[2].isdigit()
    return (name,) if is_address else (name, f"*.{name}")


def _add_java(plan: _Plan, groups: Sequence[_JavaProperties]) -> None:
    """Append properties; of a group in which the caller set one, the others would not fit."""
    current = plan.existing.get(_JAVA, "")
    options = [current] if current else []
    for group in groups:
        ours = [_java_option(name, value) for name, value in group]
        theirs = [name for name, _ in group if f"-D{name}=" in current]
        if not theirs:
            options += ours
        elif not all(option in current for option in ours):
            plan.kept.append((_JAVA, f"it sets {theirs[0]} itself"))
    plan.replace(_JAVA, " ".join(options))


def _java_option(name: str, value: str) -> str:
    """Write one option; the JVM takes quotes around blanks and knows no escapes."""
    option = f"-D{name}={value}"
    if not any(character.isspace() for character in option):
        return option
    quote = "'" if '"' in option else '"'
    return f"{quote}{option}{quote}"
