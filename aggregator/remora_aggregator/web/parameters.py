"""What may be asked: the parameters of questions, read from a query string. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from remora.client.condition import Condition, parse_condition
from remora.client.usage import UsageDimension
from remora.errors import BadRequest
from remora.policy.quantities import Duration
from remora_aggregator.store.reading import PAGE_RECORDS
from remora_aggregator.tasks.budgets import PAGE_BUDGETS
from remora_aggregator.tasks.selection import PAGE_TASKS
from remora_aggregator.web.problems import ApiProblem, of_validation

MOST_CONDITIONS: Final = 50
MOST_GROUPS: Final = 10_000
_MOST_CHARS = 1_000


class Query(Protocol):
    """A query string as aiohttp has it."""

    def keys(self) -> Any:
        """Give the names, each as often as it stands there."""
        ...

    def getall(self, key: str) -> list[str]:
        """Give all values of a name."""
        ...


def split_at_commas(value: object) -> object:
    """Take ``a,b`` and ``a`` beside ``b`` for the same."""
    if not isinstance(value, list):
        return value
    return [part for text in value for part in str(text).split(",") if part]


def _condition(text: str) -> str:
    _parsed(text)
    return text


def _parsed(text: str) -> Condition:
    try:
        return parse_condition(text)
    except BadRequest as error:
        raise ValueError(str(error)) from None


def _span(text: str) -> str:
    """Check a span of time in whole seconds."""
    milliseconds = Duration.parse(text).milliseconds
    if milliseconds % 1000 or not milliseconds:
        raise ValueError("should be whole seconds, one at least, such as 15m, 1h or 1d")
    return text


Text = Annotated[str, Field(max_length=_MOST_CHARS)]
LongText = Annotated[str, Field(max_length=4 * _MOST_CHARS)]
Where = Annotated[str, AfterValidator(_condition)]
Span = Annotated[str, AfterValidator(_span)]
Part = Annotated[float, Field(gt=0, lt=1)]
TaskStateName = Literal[
    "pending", "planning", "running", "paused", "completed", "failed", "cancelled",
    "budget_exceeded",
]  # fmt: skip
BudgetPerName = Literal["task", "session", "agent", "namespace"]
Dimension = Literal[
    "model", "provider", "session", "data", "combo", "agent", "task", "namespace", "operation",
    "dialect", "workload", "pod", "requested_model", "sent_model", "response_model", "status",
    "error", "rule", "cache",
]  # fmt: skip


class Parameters(BaseModel):
    """Base of all parameters: what is not among them is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(Parameters):
    """Nothing can be asked."""


class FilterParameters(Parameters):
    """Which records are meant; all that is given must match."""

    session_id: Text = ""
    data_id: Text = ""
    combo_id: Text = ""
    agent_id: Text = ""
    task_id: Text = ""
    provider: Text = ""
    dialect: Text = ""
    operation: Text = ""
    model: Text = Field(default="", description="The requested, sent or response model.")
    namespace: Text = ""
    pod_uid: Text = ""
    call_id: Text = ""
    since: Text = Field(
        default="",
        description="Calls that began then or later: a span back from now (`30m`, `2h`, `7d`) or a "
        "time (`2026-11-01`, `2026-11-01T12:00:00Z`), in UTC unless it says otherwise.",
    )
    until: Text = Field(default="", description="Calls that began before; as `since`.")
    outcome: Literal["any", "ok", "error"] = "any"
    where: list[Where] = Field(
        default=[],
        max_length=MOST_CONDITIONS,
        description="A condition on any field of /v1/fields: `latency_s>=2`, "
        "`model~gpt-4o*|claude-*`, `error.type!=timeout`, `ttft_s?`. May be given again; all must "
        "hold.",
    )
    text: Text = Field(
        default="",
        description="Words that captured bodies hold, all of them; finds only what policy kept.",
    )

    @property
    def conditions(self) -> list[Condition]:
        """What `where` says."""
        return [parse_condition(text) for text in self.where]


class RecordParameters(FilterParameters):
    """Which records, in which order, and what of them."""

    order: Literal["newest", "oldest"] = Field(
        default="newest", description="Newest or oldest first; with `order_by` largest or smallest."
    )
    order_by: Text = Field(
        default="",
        description="A field that is a number, such as `latency_s` or `cost.total_usd`. Default: "
        "as the records were committed.",
    )
    limit: int = Field(default=100, ge=1, le=PAGE_RECORDS, description="Records in one answer.")
    cursor: Text = Field(default="", description="Go on after it; `next` of the page before.")
    fields: Annotated[list[Text], BeforeValidator(split_at_commas)] = Field(
        default=[],
        description="Keys of a record's JSON to show, such as `model`, `usage` or "
        "`cost.total_usd`, separated by commas. Default: all but bodies.",
    )
    bodies: bool = Field(default=False, description="Show what policy kept of bodies.")


class OneRecordParameters(Parameters):
    """Which of the calls of one id, and what of it."""

    namespace: Text = ""
    pod_uid: Text = ""
    bodies: bool = Field(default=False, description="Show what policy kept of bodies.")


class WatchParameters(FilterParameters):
    """Which records are followed, and from where."""

    cursor: Text = Field(
        default="",
        description="Go on after it, without gap or repetition; the header `Last-Event-ID` wins. "
        "Default: from now.",
    )
    fields: Annotated[list[Text], BeforeValidator(split_at_commas)] = Field(
        default=[], description="As of /v1/records."
    )
    bodies: bool = Field(default=False, description="Show what policy kept of bodies.")


class UsageParameters(FilterParameters):
    """Which records are summed up, and how."""

    group_by: Annotated[list[Dimension], BeforeValidator(split_at_commas)] = Field(
        default=["model"], min_length=1, max_length=6, description="Separated by commas."
    )
    interval: Annotated[str, AfterValidator(lambda text: _span(text) if text else text)] = Field(
        default="",
        description="Sums for each span of so long, aligned to the Unix epoch: `1h`, `1d`. Whole "
        "hours and days are quick. Default: for the whole time.",
    )
    quantiles: Annotated[list[Part], BeforeValidator(split_at_commas)] = Field(
        default=[],
        max_length=20,
        description="Of latency, first token and overhead, each between 0 and 1: `0.5,0.95`.",
    )
    limit: int = Field(
        default=1_000, ge=1, le=MOST_GROUPS, description="The groups with the most calls."
    )

    @property
    def interval_s(self) -> int:
        """The interval in seconds; 0 if none is given."""
        return Duration.parse(self.interval).milliseconds // 1000 if self.interval else 0

    @property
    def dimensions(self) -> list[UsageDimension]:
        """What is grouped by."""
        return [UsageDimension[name.upper()] for name in dict.fromkeys(self.group_by)]


class TaskListParameters(Parameters):
    """Which tasks."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    state: Annotated[list[TaskStateName], BeforeValidator(split_at_commas)] = Field(
        default=[], description="Any of these, separated by commas."
    )
    task_id: Text = Field(default="", description="`*` is any text, `?` any one character.")
    since: Text = Field(
        default="", description="Created, changed or called then or later; as of /v1/records."
    )
    limit: int = Field(default=100, ge=1, le=PAGE_TASKS, description="Tasks in one answer.")
    cursor: Text = Field(default="", description="Go on after it; `next` of the page before.")


class BudgetParameters(Parameters):
    """Which shared budgets."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    budget: Text = Field(
        default="", description="Its name: `*` is any text, `?` any one character."
    )
    key: Text = Field(default="", description="Id of the task, session or agent, as `budget`.")
    per: Annotated[list[BudgetPerName], BeforeValidator(split_at_commas)] = Field(
        default=[], description="Counted for any of these, separated by commas."
    )
    past: bool = Field(default=False, description="Windows that are over, too, while kept.")
    limit: int = Field(default=100, ge=1, le=PAGE_BUDGETS, description="Budgets in one answer.")
    cursor: LongText = Field(default="", description="Go on after it; `next` of the page before.")


class OneTaskParameters(Parameters):
    """Which of a task's calls."""

    limit: int = Field(default=100, ge=0, le=PAGE_RECORDS, description="Calls in one answer.")
    cursor: Text = Field(default="", description="Go on after it; `next` of the answer before.")


class TaskWatchParameters(Parameters):
    """Whose tasks are followed, and from where."""

    namespace: Text = Field(default="", description="Default: all that may be looked at.")
    cursor: Text = Field(
        default="",
        description="Go on after it, without gap; the header `Last-Event-ID` wins. Default: from "
        "now.",
    )


class HealthParameters(Parameters):
    """How much is told."""

    limit: int = Field(default=500, ge=1, le=5_000, description="Sidecars in the answer.")


def read_parameters[P: Parameters](kind: type[P], query: Query) -> P:
    """Read parameters.

    Raises:
        ApiProblem: Some can't be read, or there are others; all are named (status 400).
    """
    given: dict[str, Any] = {}
    for name in dict.fromkeys(query.keys()):
        values = query.getall(name)
        if name in kind.model_fields and _is_list(kind, name):
            given[name] = values
        elif len(values) > 1:
            detail = f"{name[:60]} is given {len(values)} times."
            raise ApiProblem(400, detail, "bad-parameter", where=name[:60])
        else:
            given[name] = values[0]
    return _validated(kind, given)


def _validated[P: Parameters](kind: type[P], given: Mapping[str, Any]) -> P:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise of_validation(error, "parameter") from None


def _is_list(kind: type[Parameters], name: str) -> bool:
    return isinstance(kind.model_fields[name].default, list)
