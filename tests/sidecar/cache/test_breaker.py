import pytest

from remora_sidecar.cache.breaker import Breaker


def test_one_failure_opens_and_one_probe_closes():
    breaker = Breaker()
    assert breaker.is_closed
    assert not breaker.probe(0)

    breaker.fail(0)
    assert not breaker.is_closed
    assert [breaker.probe(at) for at in (0.5, 1.0, 1.1)] == [False, True, False]

    breaker.succeed()
    assert breaker.is_closed


def test_pauses_double_to_a_bound_and_start_small_again():
    breaker = Breaker(first_s=1, most_s=8)
    now = 0.0
    breaker.fail(now)
    pauses = []
    for _ in range(6):
        began = now
        while not breaker.probe(now):
            now += 0.5
        pauses.append(now - began)
        breaker.fail(now)
    assert pauses == [1, 2, 4, 8, 8, 8]

    breaker.succeed()
    breaker.fail(now)
    assert breaker.probe(now + 1)


@pytest.mark.parametrize("more", [0.0, 0.9])
def test_calls_that_fail_together_count_once(more):
    breaker = Breaker()
    breaker.fail(0)
    breaker.fail(more)

    assert breaker.probe(1)
