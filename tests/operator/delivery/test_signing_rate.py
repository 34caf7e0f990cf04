"""How often one pod may ask."""

from hypothesis import given
from hypothesis import strategies as st

from remora_operator.delivery.signing_rate import SigningRate


def test_a_burst_passes_and_then_one_at_a_time():
    rate = SigningRate(burst=2, every_s=10.0)
    assert [rate.wait_s("a", 0.0) for _ in range(3)] == [0.0, 0.0, 10.0]
    assert rate.wait_s("a", 4.0) == 6.0
    assert rate.wait_s("a", 10.0) == 0.0


def test_pods_do_not_take_from_each_other():
    rate = SigningRate(burst=1, every_s=10.0)
    assert [rate.wait_s(pod, 0.0) for pod in "aab"] == [0.0, 10.0, 0.0]


@given(st.integers(1, 5), st.integers(1, 9), st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_what_time_brought(burst, every_s, pauses):
    rate, now, passed = SigningRate(burst=burst, every_s=every_s), 0.0, 0
    for pause in pauses:
        now += pause
        wait_s = rate.wait_s("a", now)
        passed += wait_s == 0.0
        assert wait_s <= every_s
        assert passed <= burst + now / every_s + 1e-6
