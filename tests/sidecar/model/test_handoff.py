"""The table of connections handed to the engine, against a plain dictionary."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from remora_sidecar.model.handoff import Address, HandOff, HandOffTable

_ADDRESSES = st.tuples(st.just("127.0.0.1"), st.integers(1, 4))
_HAND_OFFS = st.builds(
    HandOff,
    mode=st.sampled_from(["transparent", "explicit"]),
    tls_name=st.sampled_from(["", "api.openai.com"]),
    destination=st.just("192.0.2.1:443"),
    port=st.just(443),
)


class Table(RuleBasedStateMachine):
    """Connections come, are asked for, go; ports are used again."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.table = HandOffTable()
        self.known: dict[Address, HandOff] = {}

    @rule(address=_ADDRESSES, hand_off=_HAND_OFFS)
    def opens(self, address: Address, hand_off: HandOff) -> None:
        self.table.put(address, hand_off)
        self.known[address] = hand_off

    @rule(address=_ADDRESSES)
    def closes(self, address: Address) -> None:
        self.table.remove(address)
        self.known.pop(address, None)

    @rule(address=_ADDRESSES)
    def is_asked_for(self, address: Address) -> None:
        assert self.table.get(address) == self.known.get(address)

    @invariant()
    def counts_what_is_open(self) -> None:
        assert len(self.table) == len(self.known)


TestTable = Table.TestCase
