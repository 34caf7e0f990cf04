import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.data_units import unit_data
from genai_prices.types import ModelPrice
from genai_prices.types import Usage as LibraryUsage
from genai_prices.units import UnitRegistry
from hypothesis import given
from hypothesis import strategies as st

from remora.records import Cost, Usage
from remora.testing.transcripts import Transcript, find_corpus, load_transcripts
from remora_sidecar.engine import pricing
from remora_sidecar.engine.price_rates import LIBRARY_NAMES, rate_table
from remora_sidecar.engine.pricing import PriceBook

NOW = int(datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp()) * 10**9
BOOK = PriceBook()
PROVIDERS = get_snapshot().providers
UNITS = tuple(UnitRegistry(unit_data).units.values())


@pytest.fixture(scope="module")
def transcripts() -> list[Transcript]:
    folder = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
    if folder is None:
        pytest.skip("no recorded exchanges: set REMORA_CORPUS to their folder")
    dialects = sorted(file.name.removesuffix(".jsonl.gz") for file in folder.glob("*.jsonl.gz"))
    return [transcript for dialect in dialects for transcript in load_transcripts(folder, dialect)]


def _by_library(
    provider: str, model: str, usage: Usage, unix_ns: int = NOW, tier: str = ""
) -> Decimal | None:
    figures = {theirs: getattr(usage, ours) for ours, theirs in LIBRARY_NAMES.items()}
    # Audio whose direction does not matter: the library wants it under another name.
    figures["audio_seconds"] = usage.input_audio_seconds
    try:
        price = genai_prices.calc_price(
            LibraryUsage(**figures),
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.fromtimestamp(unix_ns / 1e9, UTC),
            price_context={"service_tier": tier} if tier else None,
        )
    except (LookupError, ValueError):
        return None
    # Where nothing that is priced is stated the library says 0, and that is not the cost.
    priced = {
        unit.usage_key
        for unit in UNITS
        if getattr(price.model_price, unit.price_key, None) is not None
    }
    is_stated = any(figures.get(key) is not None for key in priced)
    return price.total_price if is_stated or "requests" in priced else None


def _assert_equal(cost: Cost | None, expected: Decimal | None, told: Any) -> None:
    assert (cost is None) == (expected is None), told
    if cost is not None and expected is not None:
        assert abs(cost.total_usd - expected) < Decimal("1e-12"), told
        # Searches and the price of a call itself have no side.
        assert cost.total_usd - cost.input_usd - cost.output_usd >= 0


@pytest.mark.parametrize(
    ("tier", "times"), [("", 1), ("fast", 2), ("batch", "0.5"), ("flex", 1)], ids=str
)
def test_a_tier_is_found_under_whatever_word_the_list_has_for_it(tier: str, times: Any) -> None:
    usage = Usage(1000, 100)
    standard = BOOK.cost("anthropic", "claude-opus-4-8", usage, NOW)
    cost = BOOK.cost("anthropic", "claude-opus-4-8", usage, NOW, service_tier=tier)
    assert cost is not None
    assert standard is not None
    assert cost.total_usd == standard.total_usd * Decimal(times)


def test_a_call_is_priced_exactly() -> None:
    cost = BOOK.cost("openai", "gpt-4o-mini", Usage(1000, 100, 200), NOW)
    assert cost is not None
    # 800 at 0.15 and 200 at 0.075 USD a million, 100 at 0.60.
    assert (cost.input_usd, cost.output_usd) == (Decimal("0.000135"), Decimal("0.00006"))
    assert cost.total_usd == Decimal("0.000195")
    assert cost.price_source == f"genai-prices {genai_prices.__version__}"
    assert date.fromisoformat(cost.price_date) <= date(2026, 11, 15)


def test_what_is_kept_for_an_hour_costs_more_than_what_is_kept_for_minutes() -> None:
    usage = Usage(1000, 100, 100, 600, cache_write_1h_tokens=200)
    cost = BOOK.cost("anthropic", "claude-sonnet-4-5", usage, NOW)
    assert cost is not None
    # Of 1000: 300 at 3, 100 read at 0.30, 400 written at 3.75, 200 for an hour at 6; 100 at 15.
    assert abs(cost.input_usd - Decimal("0.003630")) < Decimal("1e-9")
    assert abs(cost.output_usd - Decimal("0.0015")) < Decimal("1e-9")


def test_a_search_costs_beside_the_tokens() -> None:
    plain, searched = (
        BOOK.cost("anthropic", "claude-sonnet-4-5", Usage(1000, 100, web_searches=n), NOW)
        for n in (None, 3)
    )
    assert plain is not None
    assert searched is not None
    assert searched.total_usd - plain.total_usd == Decimal("0.03")
    assert (searched.input_usd, searched.output_usd) == (plain.input_usd, plain.output_usd)


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        pytest.param(
            Usage(500, 60, billed_input_tokens=5, billed_output_tokens=50), Usage(5, 50), id="both"
        ),
        pytest.param(Usage(500, 60, billed_input_tokens=5), Usage(5, 60), id="one side"),
        pytest.param(
            Usage(500, 60, 400, None, 10, billed_input_tokens=5, billed_output_tokens=50),
            Usage(5, 50),
            id="parts are of what was processed",
        ),
        pytest.param(Usage(billed_input_tokens=5), Usage(5), id="nothing else stated"),
        pytest.param(Usage(500, 60, billed_input_tokens=0), Usage(0, 60), id="nothing charged"),
    ],
)
def test_what_is_billed_is_priced_where_it_is_stated(usage: Usage, charged: Usage) -> None:
    model = ("cohere", "command-r-plus-08-2024")
    expected = BOOK.cost(*model, charged, NOW)
    assert expected is not None
    assert BOOK.cost(*model, usage, NOW) == expected


def test_a_call_without_tokens_costs_what_it_used() -> None:
    usage = Usage(input_audio_seconds=90.5)
    cost = BOOK.cost("groq", "whisper-large-v3", usage, NOW)
    assert cost is not None
    assert cost.input_usd == cost.total_usd > 0
    _assert_equal(cost, _by_library("groq", "whisper-large-v3", usage), usage)


def test_a_rerank_costs_by_its_searches() -> None:
    table = rate_table(ModelPrice(rerank_searches_kcount=Decimal(2)), UnitRegistry(unit_data))
    prices = table.price(Usage(rerank_searches=3))
    assert prices is not None
    assert prices.other_usd == Decimal("0.006")
    assert table.price(Usage(10, 10)) is None


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        pytest.param("groq", "whisper-large-v3", Usage(10, 10), id="seconds not stated"),
        pytest.param("openai", "gpt-4o", Usage(web_searches=1), id="tokens not stated"),
        pytest.param("openai", "gpt-4o", Usage(input_audio_seconds=1.5), id="seconds not priced"),
    ],
)
def test_what_is_priced_and_not_stated_leaves_the_cost_unknown(
    provider: str, model: str, usage: Usage
) -> None:
    assert BOOK.cost(provider, model, usage, NOW) is None


def test_recorded_calls_cost_what_the_library_says(transcripts: list[Transcript]) -> None:
    priced = 0
    for transcript in transcripts:
        expect = transcript.expect
        if not expect["model"] or expect["input_tokens"] is None:
            continue
        try:
            provider = get_snapshot().find_provider(None, None, transcript.url).id
        except LookupError:
            continue
        usage = Usage(*(expect[name] for name in Usage.__slots__[:5]))
        cost = BOOK.cost(provider, expect["model"], usage, NOW)
        name = expect["model"].removeprefix("models/")  # which the library does not know
        _assert_equal(cost, _by_library(provider, name, usage), transcript.id)
        priced += cost is not None
    assert priced > 1000


def test_every_model_of_the_list_costs_what_the_library_says() -> None:
    usages = [
        Usage(1000, 200),
        Usage(300_000, 2_000, 250_000, 1_000, 500),
        Usage(1_000, 200, 10, 0, 20, 30, 40),
        Usage(100, 20, 200),
        Usage(100, 20, None, None, 30),
        Usage(100, None),
        Usage(100, None, None, None, 5),
        Usage(0, 0),
        Usage(1_000, 200, 100, 300, cache_write_1h_tokens=200),
        Usage(1_000, 200, 100, 300, cache_write_1h_tokens=400),
        Usage(1_000, 200, cache_write_1h_tokens=1),
        Usage(1_000, 200, input_image_tokens=300, output_image_tokens=100),
        Usage(1_000, 200, 10, input_image_tokens=300),
        Usage(1_000, None, output_image_tokens=5),
        Usage(1_000, 200, web_searches=3, rerank_searches=1),
        Usage(0, 0, input_audio_seconds=12.5),
    ]
    for provider in PROVIDERS:
        for model in provider.models:
            for usage in usages:
                # The look-up may find another model for this id; so does the library's.
                cost = BOOK.cost(provider.id, model.id, usage, NOW)
                expected = _by_library(provider.id, model.id, usage)
                _assert_equal(cost, expected, (provider.id, model.id, usage))


@pytest.mark.parametrize(
    "usage",
    [
        Usage(1000, 200, 300, input_audio_tokens=400, cache_read_audio_tokens=100),
        Usage(1000, 200, 300, input_audio_tokens=400, cache_read_audio_tokens=0),
        Usage(1000, 200, 300, input_audio_tokens=400, cache_read_audio_tokens=300),
        Usage(1000, 200, 300, input_audio_tokens=400, cache_read_audio_tokens=500),
        Usage(1000, 200, 300, input_audio_tokens=400),
        Usage(1000, 200, 300, None, None, 400, 90, 200,
              cache_read_audio_tokens=100, cache_read_image_tokens=50),
        Usage(1000, 200, 300, None, None, 400, 90, 200, cache_read_audio_tokens=100),
    ],
    ids=["some", "none of it", "all of it", "too many", "not said", "images too", "images not"],
)  # fmt: skip
@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-mini", "gpt-4o-realtime-preview"])
def test_audio_that_was_cached_costs_what_the_library_says(model: str, usage: Usage) -> None:
    cost = BOOK.cost("openai", model, usage, NOW)
    _assert_equal(cost, _by_library("openai", model, usage), (model, usage))


def test_cached_audio_is_priced_by_hand_too() -> None:
    usage = Usage(1000, 0, 300, input_audio_tokens=400, cache_read_audio_tokens=100)
    cost = BOOK.cost("openai", "gpt-4o-realtime-preview", usage, NOW)
    assert cost is not None
    # 400 text at 5, 200 cached text at 2.5, 300 audio at 40, 100 cached audio at 2.5 USD a million.
    assert cost.total_usd == Decimal("0.01475")


models = st.sampled_from([(p.id, m.id) for p in PROVIDERS for m in p.models])
tokens = st.none() | st.integers(min_value=0, max_value=400_000)
usages = st.builds(
    Usage,
    st.integers(min_value=0, max_value=400_000),
    tokens,
    tokens,
    tokens,
    tokens,
    tokens,
    tokens,
    input_image_tokens=tokens,
    output_image_tokens=tokens,
    cache_write_1h_tokens=tokens,
    input_audio_seconds=st.none() | st.floats(0, 10_000),
    web_searches=st.none() | st.integers(0, 20),
    rerank_searches=st.none() | st.integers(0, 20),
)
times = st.integers(min_value=1_700_000_000, max_value=1_900_000_000).map(lambda s: s * 10**9)
tiers = st.sampled_from(["", "", "default", "flex", "priority", "fast", "scale"])


@given(models, usages, times, tiers)
def test_any_usage_at_any_time_costs_what_the_library_says(
    model: tuple[str, str], usage: Usage, unix_ns: int, tier: str
) -> None:
    cost = BOOK.cost(*model, usage, unix_ns, service_tier=tier)
    _assert_equal(cost, _by_library(*model, usage, unix_ns, tier), (model, tier))


def test_a_tier_changes_the_price() -> None:
    usage = Usage(1000, 100)
    standard = BOOK.cost("openai", "gpt-5", usage, NOW)
    flex = BOOK.cost("openai", "gpt-5", usage, NOW, service_tier="flex")
    assert standard is not None
    assert flex is not None
    assert flex.total_usd < standard.total_usd


def test_a_price_change_holds_from_its_day() -> None:
    before = int(datetime(2025, 6, 9, tzinfo=UTC).timestamp()) * 10**9
    after = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp()) * 10**9
    old, new = (BOOK.cost("openai", "o3", Usage(1000, 0), at) for at in (before, after))
    assert old is not None
    assert new is not None
    assert (old.total_usd, new.total_usd) == (Decimal("0.01"), Decimal("0.002"))


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        (None, "gpt-4o", Usage(1, 1)),
        ("", "gpt-4o", Usage(1, 1)),
        ("openai", "", Usage(1, 1)),
        ("openai", "no-such-model", Usage(1, 1)),
        ("no-such-provider", "gpt-4o", Usage(1, 1)),
        ("openai", "gpt-4o", Usage(None, 1)),
        ("openai", "gpt-4o", Usage()),
        ("openai", "gpt-4o", Usage(10, 1, 11)),
    ],
    ids=str,
)
def test_an_unknown_price_is_unknown_and_not_zero(
    provider: str | None, model: str, usage: Usage
) -> None:
    assert BOOK.cost(provider, model, usage, NOW) is None


def test_made_up_model_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "KEPT_MODELS", 10)
    book = PriceBook()
    for number in range(50):
        assert book.cost("openai", f"made-up-{number}", Usage(1, 1), NOW) is None
    assert book.cost("openai", "gpt-4o", Usage(1, 1), NOW) is not None
    assert len(book._models) == 10


def test_the_library_is_imported_only_when_the_list_is_loaded() -> None:
    program = (
        "import sys; from remora_sidecar.engine.pricing import PriceBook; book = PriceBook();"
        "assert 'genai_prices' not in sys.modules; book.load(); book.load();"
        "assert 'genai_prices' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("openai", "nobody-knows-it"),
    ],
)
@pytest.mark.parametrize(("entered", "written"), [(0, 0), (7, 100), (29_999, 1), (400_000, 5)])
def test_an_estimate_is_what_the_call_would_cost(provider, model, entered, written):
    usage = Usage(input_tokens=entered, output_tokens=written)
    cost = BOOK.cost(provider, model, usage, NOW)
    estimate = BOOK.estimate_usd(provider, model, entered, written, NOW)
    assert estimate == (None if cost is None else cost.total_usd)


def test_no_models_price_changes_below_the_length_at_which_estimates_look_again():
    starts = re.findall(r"start=(\d+)", repr(PROVIDERS))
    assert min(map(int, starts)) >= pricing._SAME_PRICE_TOKENS
