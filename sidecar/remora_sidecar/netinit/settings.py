"""The settings of the redirect rules, read alike by `remora netinit` and by the sidecar."""

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from remora.errors import ConfigError, Problem
from remora.policy import effective_policy, load_documents, read_policy_files
from remora.policy import redirect_ports as ports_of_policy
from remora.setting_problems import config_error
from remora_sidecar.netinit.ruleset import ALWAYS_REDIRECTED, Address, Network, RedirectSettings
from remora_sidecar.settings import Labels, parse_address


def _each[T](parse: Callable[[str], T]) -> BeforeValidator:
    """Make a validator of comma-separated values that reports every bad one."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            return value
        parsed, problems = [], []
        for part in filter(None, (part.strip() for part in value.split(","))):
            try:
                parsed.append(parse(part))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        return tuple(parsed)

    return BeforeValidator(validate)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port between 1 and 65535")
    return int(text)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8 or fd00::/8") from None
    if "/" in text and ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"{text!r} is an address with a prefix; the network is {network}")
    return network


class NetworkSettings(BaseSettings):
    """Settings of the redirect rules; the variable is the field's name with ``REMORA_``."""

    model_config = SettingsConfigDict(env_prefix="REMORA_", env_ignore_empty=True, frozen=True)

    sidecar_uid: int = Field(
        default=1500,
        ge=1,
        le=2**32 - 2,
        description="The user that the sidecar runs as; its connections are not redirected.",
    )
    redirect_ports: Annotated[tuple[int, ...] | None, NoDecode, _each(_port)] = Field(
        default=None,
        description="TCP ports redirected to the sidecar, comma-separated; 80 and 443 always are. "
        "Default: the ports of the providers that `REMORA_POLICY` has intercepted.",
    )
    policy: Path | None = Field(
        default=None, description="The sidecar's policy documents, for the ports of its providers."
    )
    labels: Labels = Field(
        default_factory=dict, description="The sidecar's labels, which select its policy."
    )
    exclude_cidrs: Annotated[tuple[Network, ...], NoDecode, _each(_network)] = Field(
        default=(),
        description="Networks that are neither redirected nor refused, comma-separated.",
    )
    network_profile: Literal["default", "strict"] = Field(
        default="default",
        description="`default` refuses QUIC and DNS over TLS; `strict` refuses all but "
        "redirected ports, DNS and excluded networks.",
    )
    listen: Annotated[tuple[tuple[str, int], ...], NoDecode, _each(parse_address)] = Field(
        default=(("127.0.0.1", 15001), ("::1", 15001)),
        description="Where the sidecar listens; the rules redirect to its port.",
    )
    session_listen: Annotated[tuple[tuple[str, int], ...], NoDecode, _each(parse_address)] = Field(
        default=(("127.0.0.1", 15002),),
        description="Where a transparent sidecar serves explicit mode; never redirected.",
    )

    @property
    def own_ports(self) -> set[int]:
        """Where the sidecar itself listens for agents."""
        return {port for _, port in (*self.listen, *self.session_listen)}

    @property
    def excluded(self) -> tuple[Network, ...]:
        """The excluded networks without overlaps, which nft refuses."""
        v4 = [n for n in self.exclude_cidrs if isinstance(n, ipaddress.IPv4Network)]
        v6 = [n for n in self.exclude_cidrs if isinstance(n, ipaddress.IPv6Network)]
        return (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._port_problems(), *self._network_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _port_problems(self) -> list[str]:
        listen = {port for _, port in self.listen}
        problems = []
        if len(listen) != 1 or listen == {0}:
            problems.append("REMORA_LISTEN must name one port, the same for all its addresses")
        if taken := sorted(self.own_ports & {*ALWAYS_REDIRECTED, *(self.redirect_ports or ())}):
            problems.append(f"REMORA_REDIRECT_PORTS names the sidecar's own port {_listed(taken)}")
        return problems

    def _network_problems(self) -> list[str]:
        whole = [network for network in self.excluded if network.prefixlen == 0]
        return [f"REMORA_EXCLUDE_CIDRS excludes every address ({network})" for network in whole]


def _listed(ports: Sequence[int]) -> str:
    return ", ".join(str(port) for port in ports)


def read_redirect_settings(
    *,
    dns_servers: Sequence[Address] = (),
    policy_ports: Sequence[int] | None = None,
    **overrides: object,
) -> RedirectSettings:
    """Read the environment; an override wins over its variable.

    Args:
        dns_servers: What agents may ask under the strict profile.
        policy_ports: Ports of the providers of the policy in force, where they are known
            already; else they are read from the documents of REMORA_POLICY.
        **overrides: Values by field name, in the form of the variables.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        read = NetworkSettings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        raise config_error(error, whole="redirect rules") from None
    return RedirectSettings(
        sidecar_uid=read.sidecar_uid,
        listen_port=read.listen[0][1],
        ports=tuple(sorted({*ALWAYS_REDIRECTED, *_ports(read, policy_ports)})),
        profile=read.network_profile,
        excluded=read.excluded,
        dns_servers=tuple(dict.fromkeys(dns_servers)),
    )


def _ports(read: NetworkSettings, policy_ports: Sequence[int] | None) -> Sequence[int]:
    if read.redirect_ports is not None:
        return read.redirect_ports
    ports = _ports_of_documents(read) if policy_ports is None else policy_ports
    if taken := sorted(read.own_ports & set(ports)):
        what = f"a provider listens on the sidecar's own port {_listed(taken)}"
        raise ConfigError([Problem("REMORA_POLICY", what)])
    return ports


def _ports_of_documents(read: NetworkSettings) -> Sequence[int]:
    if read.policy is None:
        return ()
    documents = load_documents(read_policy_files(read.policy))
    return ports_of_policy(effective_policy(documents, read.labels))
