import pytest

from remora.records import Usage
from remora.testing.clock import ManualClock
from remora_sidecar.cache.entry import CachedAnswer, CachedFacts, Chunk
from remora_sidecar.cache.level import Kept


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_answer(clock):
    """Makes an answer stored now, whose body tells it from others."""

    def make(text="hello", *, size=0, chunks=1):
        body = text.encode().ljust(size, b".")
        step = len(body) // chunks + 1
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        return CachedAnswer(
            status=200,
            reason="OK",
            headers=((b"Content-Type", b"application/json"),),
            chunks=tuple(Chunk(0.25, piece) for piece in pieces),
            facts=CachedFacts(model="m", usage=Usage(input_tokens=3, output_tokens=4)),
            stored_unix_ns=clock.now_unix_ns(),
        )

    return make


@pytest.fixture
def make_kept(make_answer):
    def make(text="hello", *, ttl_s=60.0, **options):
        return Kept.for_(make_answer(text, **options), ttl_s)

    return make
