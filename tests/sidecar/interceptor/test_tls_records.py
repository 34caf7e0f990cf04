"""Where TLS records end."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.interceptor.tls_records import TlsRecords


def _record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2) + b"\x05" * size


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (b"", 0),
        (_record(10), 1),
        (_record(10)[:-1], 0),
        (_record(10) + _record(0) + _record(3), 3),
        (_record(10) + b"\x17\x03", 1),
    ],
    ids=["nothing", "one", "the most of one", "an empty one among others", "half a head behind"],
)
def test_records_that_ended_are_counted(data, ended):
    assert TlsRecords().ended_in(data) == ended


@given(sizes=st.lists(st.integers(0, 300)), cuts=st.lists(st.integers(1, 50)))
def test_every_record_is_counted_where_its_last_byte_is(sizes, cuts):
    wire = b"".join(map(_record, sizes))
    ends = list(accumulate(size + 5 for size in sizes))
    records, at = TlsRecords(), 0
    for cut in [*cuts, len(wire)]:
        piece = wire[at : at + cut]
        assert records.ended_in(piece) == sum(at < end <= at + len(piece) for end in ends)
        at += len(piece)
