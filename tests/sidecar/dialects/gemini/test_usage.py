from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import Usage
from remora_sidecar.dialects.gemini.usage import read_statistics, read_usage, service_tier


def _details(**tokens: Any) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": tokens} for name, tokens in tokens.items()]


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        pytest.param(
            {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
            Usage(5, 7),
            id="plain",
        ),
        pytest.param(
            {"promptTokenCount": 5, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 7}
            | {"thoughtsTokenCount": 4, "cachedContentTokenCount": 2},
            Usage(8, 11, 2, None, 4),
            id="tools, thoughts and cache",
        ),
        pytest.param(
            {"promptTokenCount": 5, "thoughtsTokenCount": 4},
            Usage(5, 4, reasoning_tokens=4),
            id="thoughts alone",
        ),
        pytest.param({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(5), id="no output"),
        pytest.param({"candidatesTokenCount": 5}, Usage(None, 5), id="no input"),
        pytest.param(
            {"promptTokenCount": "5", "candidatesTokenCount": 7.0}, Usage(5, 7), id="other numbers"
        ),
        pytest.param(
            {
                "promptTokenCount": 99,
                "promptTokensDetails": _details(TEXT=1, AUDIO=2, IMAGE=3, VIDEO=4, DOCUMENT=5),
                "toolUsePromptTokensDetails": _details(AUDIO="20"),
                "candidatesTokensDetails": _details(TEXT=6, AUDIO=7, IMAGE=8),
            },
            Usage(
                99,
                input_audio_tokens=22,
                input_image_tokens=3,
                output_audio_tokens=7,
                output_image_tokens=8,
            ),
            id="modalities",
        ),
        pytest.param(
            {
                "promptTokenCount": 99,
                "promptTokensDetails": [
                    {"modality": 1, "tokenCount": 1},
                    {"modality": 2, "tokenCount": 2},
                    {"modality": 4, "tokenCount": 4},
                ],
            },
            Usage(99, input_image_tokens=2, input_audio_tokens=4),
            id="modalities as numbers",
        ),
        pytest.param(
            {"promptTokenCount": 7, "promptTokenDetails": _details(IMAGE=7)},
            Usage(7, input_image_tokens=7),
            id="the spelling of embeddings",
        ),
        pytest.param(
            {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO"}, 3, None]},
            Usage(1),
            id="details that say nothing",
        ),
        pytest.param({"trafficType": "ON_DEMAND", "totalTokenCount": 3}, None, id="no figures"),
        pytest.param({"promptTokenCount": True, "candidatesTokenCount": "x"}, None, id="no counts"),
        pytest.param({"promptTokenCount": -1, "candidatesTokenCount": "-1"}, None, id="negative"),
        pytest.param(
            {"promptTokenCount": 2**63 - 1, "toolUsePromptTokenCount": 1, "thoughtsTokenCount": 1},
            Usage(None, 1, reasoning_tokens=1),
            id="a sum over the maximum",
        ),
    ],
)
def test_metadata_is_read(metadata: dict[str, Any], usage: Usage | None) -> None:
    assert read_usage(metadata) == usage


@pytest.mark.parametrize(
    ("metadata", "tier"),
    [
        ({}, ""),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "PRIORITY", "trafficType": "ON_DEMAND"}, "priority"),
        ({"serviceTier": "unspecified"}, ""),
        ({"trafficType": "ON_DEMAND"}, "standard"),
        ({"trafficType": 1}, "standard"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned_throughput"),
        ({"trafficType": "TRAFFIC_TYPE_UNSPECIFIED"}, ""),
        ({"trafficType": "NEW_ONE"}, "new_one"),
        ({"trafficType": 99}, "99"),
        ({"trafficType": []}, ""),
    ],
)
def test_the_tier_is_told_in_one_set_of_words(metadata: dict[str, Any], tier: str) -> None:
    assert service_tier(metadata) == tier


@pytest.mark.parametrize(
    ("predictions", "usage"),
    [
        ([4, {"embeddings": {"statistics": {"token_count": 4}, "values": []}}], Usage(4)),
        ([{"embeddings": {"statistics": {"token_count": n}}} for n in (4, 5.0)], Usage(9)),
        ([{"embeddings": {"statistics": {"token_count": 4}}}, {"embeddings": {}}], None),
        ([{"imageEmbedding": []}], None),
        ([], None),
        ("x", None),
    ],
)
def test_older_embeddings_count_each_text(predictions: object, usage: Usage | None) -> None:
    assert read_statistics({"predictions": predictions}) == usage


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
    "promptTokensDetails", "candidatesTokensDetails", "trafficType", "serviceTier", "predictions",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), anything))
def test_nothing_raises(metadata: dict[str, Any]) -> None:
    read_usage(metadata)
    read_statistics(metadata)
    service_tier(metadata)
