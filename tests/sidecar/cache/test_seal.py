from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.entry import CachedAnswer, Chunk
from remora_sidecar.cache.level import Kept
from remora_sidecar.cache.seal import seal, unseal

SECRET = b"s" * 32
KEPT = Kept(CachedAnswer(200, "OK", (), (Chunk(0.0, b"the answer"),), stored_unix_ns=5), 99)
SEALED = seal(KEPT, "key", place=b"place", secret=SECRET)


def opened(sealed, key="key", *, place=b"place", secret=SECRET):
    return unseal(sealed, key, place=place, secret=secret)


def test_what_was_sealed_is_read_by_who_has_the_secret_and_by_nobody_else():
    assert opened(SEALED) == KEPT
    assert opened(SEALED, secret=b"t" * 32) is None
    assert b"answer" not in SEALED


def test_what_lies_in_another_place_is_not_read():
    assert opened(SEALED, place=b"elsewhere") is None
    assert opened(SEALED, "other key") is None


def test_the_same_answer_is_never_sealed_alike():
    assert seal(KEPT, "key", place=b"place", secret=SECRET) != SEALED


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_change_is_noticed(at, change):
    changed = bytearray(SEALED)
    changed[at] ^= change

    assert opened(bytes(changed)) is None


@given(st.binary(), st.binary().map(lambda rest: SEALED[:16] + rest))
def test_any_bytes_are_read_as_nothing(data, begun):
    assert opened(data) is None
    assert opened(begun) is None


def test_what_can_not_be_written_is_not_sealed():
    bad = Kept(CachedAnswer(200, "\ud800", (), ()), 99)

    assert seal(bad, "key", place=b"place", secret=SECRET) is None
