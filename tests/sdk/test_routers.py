"""Routers that ship with Remora, and the summary of what they did."""

import threading
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import pytest

from remora.routers import (
    RandomRouter,
    Router,
    format_routing_summary,
    print_routing_summary,
)
from remora.routing import RouteContext

CONTEXT = RouteContext({}, "openai", "gpt-4o", None)


@dataclass(frozen=True)
class Call:
    """A record as the summary reads it."""

    model: str = "gpt-4o"
    data_id: str | None = None
    prompt_tokens: int = 10
    completion_tokens: int = 5
    latency_seconds: float = 0.5
    cached: bool = False
    error: str | None = None
    cost_usd: Decimal | None = None


def drawn(router: Router, count: int) -> list[str | None]:
    return [router.route(CONTEXT) for _ in range(count)]


def test_one_seed_draws_one_sequence_of_models():
    models = ["a", "b", "c"]

    once, again = (drawn(RandomRouter(models, seed=7), 50) for _ in range(2))

    assert once == again
    assert once != drawn(RandomRouter(models, seed=8), 50)


def test_every_candidate_is_drawn_and_no_other():
    assert set(drawn(RandomRouter(["a", "b", "c"], seed=1), 200)) == {"a", "b", "c"}


def test_threads_together_draw_what_one_draws_alone():
    alone = Counter(drawn(RandomRouter(["a", "b"], seed=3), 4000))
    shared, found = RandomRouter(["a", "b"], seed=3), Counter()
    taking = threading.Lock()

    def draw() -> None:
        models = drawn(shared, 1000)
        with taking:
            found.update(models)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == alone


@pytest.mark.parametrize(
    ("candidates", "seed"),
    [
        pytest.param([], None, id="none"),
        pytest.param("gpt-4o", None, id="a text"),
        pytest.param(["gpt-4o", ""], None, id="an empty name"),
        pytest.param(["gpt-4o", 3], None, id="a number"),
        pytest.param(["gpt-4o"], "7", id="a seed that is a text"),
    ],
)
def test_a_random_router_refuses_what_it_can_not_draw_from(candidates, seed):
    with pytest.raises(ValueError, match=r"candidate|seed"):
        RandomRouter(candidates, seed)


@pytest.mark.parametrize(
    ("router", "kwargs"),
    [
        pytest.param(RandomRouter(["a"]), {"candidates": ["a"]}, id="no seed"),
        pytest.param(RandomRouter(("a",), 0), {"candidates": ["a"], "seed": 0}, id="seed 0"),
    ],
)
def test_a_random_router_says_how_to_make_another(router, kwargs):
    assert router.config() == {"policy": "random", "kwargs": kwargs}


def test_a_class_of_ones_own_is_named_by_its_module():
    class Fixed(Router):
        def _config_kwargs(self):
            return {"model": "gpt-4o"}

    policy = Fixed().config()["policy"]

    assert policy.startswith(f"{__name__}:")
    assert policy.endswith("Fixed")


def test_a_class_that_does_not_say_how_to_make_it_says_what_is_missing():
    class Fixed(Router):
        pass

    with pytest.raises(NotImplementedError, match="_config_kwargs"):
        Fixed().config()
    with pytest.raises(NotImplementedError):
        Fixed().route(CONTEXT)


def test_the_summary_lists_the_models_in_order_with_their_tokens():
    text = format_routing_summary([Call(), Call("mini", prompt_tokens=1000), Call(cached=True)])

    lines = [line.split() for line in text.splitlines()]
    assert [line[:3] for line in lines if line[:1] in (["1"], ["2"], ["3"])][:3] == [
        ["1", "gpt-4o", "0.50"],
        ["2", "mini", "0.50"],
        ["3", "gpt-4o", "0.50"],
    ]
    assert ["3", "gpt-4o", "0.50", "cached"] in lines
    assert ["gpt-4o", "2", "20", "10", "unknown"] in lines
    assert ["mini", "1", "1,000", "5", "unknown"] in lines
    assert "3 calls, 1.50 s in all" in text


def test_the_summary_groups_by_datapoint_where_there_are_several():
    calls = [Call(data_id="dp_1"), Call("mini", data_id="dp_2"), Call(data_id="dp_1"), Call()]

    text = format_routing_summary(calls)

    titles = [line for line in text.splitlines() if line in ("dp_1", "dp_2", "no data_id")]
    assert titles == ["dp_1", "dp_2", "no data_id"]
    assert "dp_1" not in format_routing_summary(calls[:1])


def test_a_cost_that_is_partly_unknown_is_said_to_be():
    priced = Call(cost_usd=Decimal("0.25"))

    assert "$0.500000 + 1 unpriced" in format_routing_summary([priced, priced, Call()])
    assert "unpriced" not in format_routing_summary([priced])


def test_errors_and_model_names_are_shown_as_they_are():
    text = format_routing_summary([Call("[bold]m", error="HTTP 500 [/] :smile:")])

    assert "[bold]m" in text
    assert "HTTP 500 [/] :smile:" in text


def test_no_records_are_said(capsys):
    print_routing_summary([])

    assert "No calls were recorded" in capsys.readouterr().out


def test_the_summary_is_printed(capsys):
    print_routing_summary([Call()])

    assert "gpt-4o" in capsys.readouterr().out
