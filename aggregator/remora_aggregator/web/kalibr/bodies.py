"""What the clients send, read leniently: null is as good as left out, more is passed over."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_MOST_CHARS = 1_000
_MOST_NAMES = 200


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()[:_MOST_CHARS]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if -1e15 < number < 1e15 else None


def _share(value: object) -> float | None:
    number = _number(value)
    return None if number is None else min(max(number, 0.0), 1.0)


def _flag(value: object) -> bool | None:
    if isinstance(value, bool) or value is None:
        return value
    words = {"true": True, "1": True, "false": False, "0": False}
    return words.get(_text(value).lower().removesuffix(".0"))


def _mapping(value: object) -> dict[str, Any]:
    return {str(name): one for name, one in value.items()} if isinstance(value, dict) else {}


def _names(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    texts = (_text(one) for one in listed[:_MOST_NAMES])
    return list(dict.fromkeys(text for text in texts if text))


def _maybe_names(value: object) -> list[str] | None:
    return None if value is None else _names(value)


def _tool(value: object) -> str:
    """Take the first of several: as the client registers them."""
    return next(iter(_names(value)), "")


def _risk(value: object) -> str:
    word = _text(value).lower()
    return word if word in ("low", "medium", "high") else "low"


Text = Annotated[str, BeforeValidator(_text)]
Tool = Annotated[str, BeforeValidator(_tool)]
Number = Annotated[float | None, BeforeValidator(_number)]
Share = Annotated[float | None, BeforeValidator(_share)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Mapping = Annotated[dict[str, Any], BeforeValidator(_mapping)]
Names = Annotated[list[str], BeforeValidator(_names)]
MaybeNames = Annotated[list[str] | None, BeforeValidator(_maybe_names)]
RiskWord = Annotated[Literal["low", "medium", "high"], BeforeValidator(_risk)]


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class PathBody(Body):
    """A path to register; `enabled` is ours: true enables it again."""

    goal: Text = ""
    model_id: Text = ""
    tool_id: Tool = ""
    params: Mapping = Field(default_factory=dict)
    risk_level: RiskWord = "low"
    enabled: Flag = None


class DecideBody(Body):
    """What a call is for, and which models the client can call."""

    goal: Text = ""
    task_risk_level: RiskWord = "low"
    pipeline_id: Text = ""
    candidate_model_ids: MaybeNames = None


class ConfigBody(Body):
    """Settings of a goal; what is left out stays as it is."""

    goal: Text = "*"
    exploration_rate: Share = None
    min_samples_before_exploit: Number = None
    rollback_threshold: Share = None
    staleness_days: Number = None
    exploration_on_high_risk: Flag = None


class PolicyBody(Body):
    """What is asked about a goal."""

    goal: Text = ""
    task_type: Text = ""
    pipeline_id: Text = ""
    optimize_for: Text = ""
    constraints: Mapping = Field(default_factory=dict)
    window_hours: Number = None


class OutcomeBody(Body):
    """What became of one model's answer, or what is to be corrected of it."""

    trace_id: Text = ""
    goal: Text = ""
    success: Flag = None
    score: Share = None
    failure_reason: Text = ""
    failure_category: Text = ""
    metadata: Mapping = Field(default_factory=dict)
    tool_id: Tool = ""
    execution_params: Mapping = Field(default_factory=dict)
    model_id: Text = ""
    pipeline_id: Text = ""


class AlternativeBody(Body):
    """Which models were tried already."""

    goal: Text = ""
    pipeline_id: Text = ""
    task_risk_level: RiskWord = "low"
    exclude_models: Names = Field(default_factory=list)
    candidate_model_ids: MaybeNames = None


class SignalBody(Body):
    """A signal; its `raw_evidence` is looked at and not kept."""

    trace_id: Text = ""
    signal_type: Text = ""
    signal_source: Text = ""
    strength: Share = None
    confidence: Share = None
    dimension: Text = ""
    dimensions: Names = Field(default_factory=list)
    goal: Text = ""
    model: Text = ""
    model_id: Text = ""
    session_id: Text = ""
    momentum: Text = ""
    session_momentum: Text = ""
    raw_evidence: Text = ""
    pipeline_step: Number = None
    pipeline_id: Text = ""
