"""Writes `sdk/remora/workflows/catalogue.yaml` from public catalogues' facts.

    python -m training.catalogue.refresh --listed FILE

Reads `chosen.yaml` beside it, genai-prices as installed, and the file with litellm's list of
models. Says where the two sources differ; of two sizes the smaller is taken.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import genai_prices.data
from ruamel.yaml import YAML

from remora.workflows.model import CAPABILITIES, TIERS

HERE = Path(__file__).parent
TARGET = HERE.parent.parent / "sdk/remora/workflows/catalogue.yaml"

LONG_CONTEXT_TOKENS = 200_000
LOW_COST_INPUT = Decimal("0.30")
LOW_COST_OUTPUT = Decimal("1.25")
"""USD of a million tokens, at most, of what is called low_cost."""

FLAGS = {
    "supports_function_calling": ("tool_use", "function_calling"),
    "supports_response_schema": ("structured_output", "json_mode"),
    "supports_vision": ("vision",),
    "supports_audio_input": ("audio_in",),
    "supports_audio_output": ("audio_out",),
    "supports_reasoning": ("reasoning",),
}

HEAD = """\
# The models that steps of workflows are given to: facts as public catalogues have them.
# Written by `python -m training.catalogue.refresh`; training/catalogue/README.md says how.
# Sizes are in tokens; `answer` stands where an answer is limited more than the context is.
"""


class Disagreements(list[str]):
    """Lines for the person who refreshes."""


def entries(
    provider: str, chosen: Mapping[str, Any], listed: Mapping[str, Any], said: Disagreements
) -> Iterator[dict[str, Any]]:
    """Give the entries of one provider."""
    for word in (*TIERS, "embeddings"):
        for model in chosen.get(word, ()):
            facts = listed.get(chosen["prefix"] + model)
            if facts is None:
                said.append(f"{provider}/{model}: not listed, left out")
                continue
            priced = priced_model(chosen.get("price_id"), model)
            if priced is None and "price_id" in chosen:
                said.append(f"{provider}/{model}: the price book does not know it, left out")
                continue
            yield entry(f"{provider}/{model}", word, chosen, facts, priced, said)


def entry(
    name: str,
    word: str,
    chosen: Mapping[str, Any],
    facts: Mapping[str, Any],
    priced: Any,
    said: Disagreements,
) -> dict[str, Any]:
    """Put together what is known of one model."""
    context = sizes(name, facts, priced, said)
    model = name.partition("/")[2]
    answer = facts.get("max_output_tokens")
    made: dict[str, Any] = {"model": model, "tier": "fast" if word == "embeddings" else word}
    if word == "embeddings":
        made["operation"] = "embeddings"
    made["context"] = context
    if answer and answer < context and word != "embeddings":
        made["answer"] = answer
    if facts.get("deprecation_date"):
        made["retires"] = facts["deprecation_date"]
    can = {"embeddings"} if word == "embeddings" else able(facts, context, word, chosen)
    can |= {"multilingual"} & set(chosen.get("also", ()))
    if is_cheap(facts, priced):
        can.add("low_cost")
    made["can"] = [capability for capability in CAPABILITIES if capability in can]
    return made


def able(facts: Mapping[str, Any], context: int, tier: str, chosen: Mapping[str, Any]) -> set[str]:
    """Return the capabilities of a model that chats."""
    can = {"streaming", *chosen.get("also", ())}
    for flag, capabilities in FLAGS.items():
        if facts.get(flag):
            can.update(capabilities)
    if context >= LONG_CONTEXT_TOKENS:
        can.add("long_context")
    if tier == "fast":
        can.add("fast_inference")
    return can


def priced_model(price_id: str | None, model: str) -> Any:
    """Find a model in genai-prices; None if it is not there."""
    for provider in genai_prices.data.providers:
        if provider.id == price_id:
            return provider.find_model(model)
    return None


def sizes(name: str, facts: Mapping[str, Any], priced: Any, said: Disagreements) -> int:
    """Return the smallest context that a source names."""
    here = facts["max_input_tokens"]
    there = None if priced is None else priced.context_window
    if there is not None and not 0.8 <= here / there <= 1.25:
        said.append(f"{name}: context {here} as listed, {there} in genai-prices")
    return int(min(here, there or here))


def is_cheap(facts: Mapping[str, Any], priced: Any) -> bool:
    """Tell whether both prices are low, by genai-prices where it has plain ones."""
    asked, answered = (
        Decimal(str(facts.get(f"{side}_cost_per_token") or 0)) * 1_000_000
        for side in ("input", "output")
    )
    prices = getattr(priced, "prices", None)
    own = [getattr(prices, name, None) for name in ("input_mtok", "output_mtok")]
    if all(isinstance(price, Decimal) for price in own):
        asked, answered = own
    return 0 < asked <= LOW_COST_INPUT and answered <= LOW_COST_OUTPUT


def document(listed: Mapping[str, Any], name: str, said: Disagreements) -> dict[str, Any]:
    """Make the whole catalogue."""
    chosen = YAML(typ="safe", pure=True).load((HERE / "chosen.yaml").read_text(encoding="utf-8"))
    return {
        "checked": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "sources": [f"genai-prices {version('genai-prices')}", name],
        "providers": {
            provider: list(entries(provider, of, listed, said)) for provider, of in chosen.items()
        },
    }


def main() -> None:
    """Write the catalogue and say what the sources do not agree on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listed", type=Path, required=True, help="litellm's list of models")
    parser.add_argument("--name", default="litellm", help="what to call that source, with version")
    options = parser.parse_args()
    said = Disagreements()
    made = document(json.loads(options.listed.read_text(encoding="utf-8")), options.name, said)
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 96
    yaml.default_flow_style = None
    with TARGET.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        yaml.dump(made, file)
    sys.stdout.writelines(f"{line}\n" for line in said)


if __name__ == "__main__":
    main()
