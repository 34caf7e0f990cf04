"""What makes a sidecar a gateway: what its command line says and no variable does."""

from dataclasses import dataclass, field

from remora_sidecar.engine.named_routers import NamedRouters


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a gateway has and other sidecars have not.

    Attributes:
        routers: Those that sessions may name, and the one of sessions that name none.
        hosts: Names besides loopback by which control calls may call it, and then the address
            they came to as well; None: loopback alone.
        takes_any_host: A plain HTTP request that has the path of an LLM call is one, whatever
            its host.
    """

    routers: NamedRouters = field(default_factory=NamedRouters)
    hosts: frozenset[str] | None = None
    takes_any_host: bool = False
