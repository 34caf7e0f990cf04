"""Where to dial instead: curl's ``--connect-to`` syntax, comma-separated.

Each entry is ``HOST1:PORT1:HOST2:PORT2``: a connection to HOST1:PORT1 goes to
HOST2:PORT2. An empty HOST1 or PORT1 matches any; an empty HOST2 or PORT2 keeps the
original. IPv6 addresses stand in brackets. (curl's manual, option --connect-to.)
"""

import re
from dataclasses import dataclass

_ENTRY = re.compile(
    r"(?P<host1>\[[^\]]*\]|[^:\[\],]*):(?P<port1>\d*):(?P<host2>\[[^\]]*\]|[^:\[\],]*):(?P<port2>\d*)"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    host: str
    port: int | None
    new_host: str
    new_port: int | None


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """An ordered list of rules; the first that matches decides."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ConnectTo":
        """Read the setting; raises ValueError naming the entry that can't be read."""
        entries = [entry.strip() for entry in text.split(",")]
        return cls(tuple(_rule(entry) for entry in entries if entry))

    def dial(self, host: str, port: int) -> tuple[str, int]:
        """Return the address to dial for a connection to host and port."""
        rule = self._match(host, port)
        if rule is None:
            return host, port
        return rule.new_host or host, rule.new_port or port

    def redirects(self, host: str, port: int) -> bool:
        """Tell whether a rule names this address."""
        return self._match(host, port) is not None

    def _match(self, host: str, port: int) -> _Rule | None:
        for rule in self.rules:
            if rule.host in ("", host) and rule.port in (None, port):
                return rule
        return None


def _rule(entry: str) -> _Rule:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"{entry!r} is not HOST1:PORT1:HOST2:PORT2 (curl's --connect-to)")
    return _Rule(
        host=match["host1"].strip("[]").lower(),
        port=_port(match["port1"]),
        new_host=match["host2"].strip("[]"),
        new_port=_port(match["port2"]),
    )


def _port(digits: str) -> int | None:
    if not digits:
        return None
    port = int(digits)
    if not 0 < port < 65536:
        raise ValueError(f"port {digits} is out of range")
    return port
