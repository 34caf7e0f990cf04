"""The layers of a redirected connection under every order of events."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mitmproxy import connection

PROVIDER = "api.openai.com"
_PIECES: dict[str, bytes] = {}
_MAKE: list[Callable[[], Any]] = []
"""Filled from fixtures, which a state machine can't ask for."""


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, no layer fails and nothing reaches a closed end."""

    def __init__(self) -> None:
        """Start with a redirected connection."""
        super().__init__()
        self.made = _MAKE[0]()
        self.servers: list[connection.Server] = []
        self.ended: set[connection.Connection] = set()

    def _agent_is_there(self) -> bool:
        made = self.made
        return made.client not in self.ended and "agent" not in made.closed

    @rule()
    def nothing_happens(self) -> None:
        """Hypothesis needs a rule that always applies."""

    @precondition(lambda self: self._agent_is_there())
    @rule(piece=st.sampled_from(["provider", "other", "h2", "part", "junk"]))
    def the_agent_speaks(self, piece: str) -> None:
        self.made.agent_sends(_PIECES[piece])

    @precondition(lambda self: self._agent_is_there())
    @rule()
    def the_agent_ends(self) -> None:
        self.ended.add(self.made.client)
        self.made.agent_ends()

    @precondition(lambda self: self.made.wakeups)
    @rule()
    def a_timer_goes_off(self) -> None:
        self.made.time_passes()

    @precondition(lambda self: self.made.dials)
    @rule(error=st.sampled_from([None, "unreachable"]))
    def a_dial_ends(self, error: str | None) -> None:
        server = self.made.dial_ends(error)
        if server.state is connection.ConnectionState.OPEN:
            self.servers.append(server)

    @precondition(lambda self: self.servers)
    @rule()
    def a_server_speaks(self) -> None:
        self.made.server_sends(self.servers[-1], b"hello from the server")

    @precondition(lambda self: self.servers)
    @rule()
    def a_server_ends(self) -> None:
        self.made.server_ends(self.servers.pop())

    @invariant()
    def at_most_one_server_is_open(self) -> None:
        assert len(self.made._open - {self.made.client}) <= 1


def test_any_order_of_events_is_survived(drive, hello, real_hello) -> None:
    _MAKE[:] = [drive]
    _PIECES.update(
        provider=real_hello(PROVIDER), other=hello("example.com"), h2=hello(PROVIDER, [b"h2"]),
        part=hello(PROVIDER)[:30], junk=b"\x00\x01\x02",
    )  # fmt: skip

    run_state_machine_as_test(AnyOrder, settings=hypothesis_settings(max_examples=150))
