"""The best combination as a configuration: for LiteLLM, or as a policy of Remora."""

import io
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from remora.selectors.findings import Findings, ModelResult

ConfigFormat = Literal["litellm", "llmpolicy"]

_PROVIDERS = (
    (re.compile(r"(gpt-|chatgpt-|o\d)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini"), "gemini"),
    (re.compile(r"(mistral|ministral|codestral)"), "mistral"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"grok"), "xai"),
    (re.compile(r"command-"), "cohere"),
)
"""Whose a model is by its name, in LiteLLM's words."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")
_MAX_NAME = 63
_POLICY_OPTIONS = {"name": "selected", "match_by": "agent_id"}


def config_text(
    results: Findings,
    format: ConfigFormat,  # noqa: A002 - the name that users know
    api_key_env_vars: Mapping[str, str],
    options: Mapping[str, str],
) -> str:
    """Write the best combination; see `SelectionResults.export_config`."""
    best = results.get_best()
    if best is None:
        raise ValueError("there is no best combination to export: none was evaluated with success")
    if format == "litellm" and not options:
        return _litellm(best, api_key_env_vars)
    if format == "llmpolicy" and not api_key_env_vars and options.keys() <= _POLICY_OPTIONS.keys():
        return _llmpolicy(best, **{**_POLICY_OPTIONS, **options})
    raise ValueError(
        "format is 'litellm', with api_key_env_vars, or 'llmpolicy', with name and match_by"
    )


def _litellm(best: ModelResult, key_variables: Mapping[str, str]) -> str:
    models = sorted(set(best.models.values()))
    document = {"model_list": [_litellm_model(model, key_variables) for model in models]}
    nodes = [f"{node}: {model}" for node, model in best.models.items()]
    return _yaml(document, "The best combination, by node of the agent:", *nodes)


def _litellm_model(model: str, key_variables: Mapping[str, str]) -> dict[str, Any]:
    provider = provider_of(model)
    if provider is None:
        return {"model_name": model, "litellm_params": {"model": model}}
    variable = key_variables.get(provider) or f"{_named(provider, '_').upper()}_API_KEY"
    full = model if "/" in model else f"{provider}/{model}"
    return {
        "model_name": model,
        "litellm_params": {"model": full, "api_key": f"os.environ/{variable}"},
    }


def provider_of(model: str) -> str | None:
    """Tell a model's provider by its name: what stands before a slash, else by its kind."""
    if "/" in model:
        return model.partition("/")[0]
    return next((name for kind, name in _PROVIDERS if kind.match(model.lower())), None)


def _llmpolicy(best: ModelResult, name: str, match_by: str) -> str:
    if match_by not in ("agent_id", "model"):
        raise ValueError(f"match_by is 'agent_id' or 'model', not {match_by!r}")
    document = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": name},
        "spec": {
            "routes": [
                _route(number, node, model, match_by)
                for number, (node, model) in enumerate(best.models.items(), 1)
            ]
        },
    }
    low, high = best.confidence_interval
    found = f"accuracy {best.accuracy:.2%} (95 % interval {low:.1%} to {high:.1%})"
    text = _yaml(document, best.model_name, f"{found}, {best.num_samples} evaluations")
    _validate(text)
    return text


def _route(number: int, node: str, model: str, match_by: str) -> dict[str, Any]:
    if match_by == "model" and set(node) & set("*?"):
        raise ValueError(f"match_by='model' can't name the node {node!r}: * and ? are patterns")
    condition = f"session.agent_id == {json.dumps(node, ensure_ascii=False)}"
    match = {"models": [node]} if match_by == "model" else {"condition": condition}
    return {
        "name": f"{number}-{_named(node, '-')}"[:_MAX_NAME].rstrip("-"),
        "match": match,
        "router": {"policy": "conditional", "candidates": [{"model": model}]},
    }


def _validate(text: str) -> None:
    """Check the document as `remora policy validate` does.

    Raises:
        ValueError: A name can't stand in a policy.
    """
    from remora.errors import ConfigError
    from remora.policy import load_documents

    try:
        load_documents({"the policy": text})
    except ConfigError as error:
        raise ValueError(f"the best combination can't be written as a policy: {error}") from error


def _named(text: str, joint: str) -> str:
    return _NOT_IN_NAMES.sub(joint, text).strip(joint)


def _yaml(document: Mapping[str, Any], *comments: str) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(dict(document), text)
    # Names of models and nodes are anybody's: a line end in one must not end the comment.
    lines = [f"# {json.dumps(line, ensure_ascii=False)[1:-1]}\n" for line in comments]
    return "".join(lines) + text.getvalue()
