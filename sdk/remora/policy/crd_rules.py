"""What the models check in Python, once more as CEL: so that `kubectl apply` refuses it, too.

Kubernetes bounds what a rule may cost by the longest lists and texts that the schema takes, so
all of them have bounds, and rules compare entries of one list with each other only where those
are at most `remora.policy.model.MAX_ENTRIES`. A test holds that every check of a model has its
rules here. What CEL can't tell is left to the operator, which says it in the status: public
suffixes, conditions, regexes of redaction, durations of more than ten years, pauses of retries
that are both written in days, parameters of candidates.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic.alias_generators import to_camel

from remora.policy.limits import Budget, Cache, Credential, Rate
from remora.policy.model import PolicyModel
from remora.policy.routing import LEARNED_FIELDS, Breaker, Retry, Router, Timeouts
from remora.policy.selector import LabelRequirement, LabelSelector
from remora.policy.signals import AnswerCheck, AskedModel, LengthRatio
from remora.policy.spec import CallRules, Floors, ProviderSpec


class Rule(NamedTuple):
    """One rule of an object.

    Attributes:
        cel: Has to be true; `self` is the object.
        message: What the user is told where it is not.
    """

    cel: str
    message: str


def _unique(field: str, key: str = "") -> Rule:
    name = f".{key}" if key else ""
    cel = (
        f"!has(self.{field}) || self.{field}.all(a, self.{field}.exists_one(b, a{name} == b{name}))"
    )
    return Rule(cel, f"{field}: {f'a {key}' if key else 'an entry'} stands more than once")


def _some_time(field: str) -> Rule:
    cel = f"!has(self.{field}) || self.{field}.matches('[1-9]')"
    return Rule(cel, f"{field} should be longer than nothing")


_A_SECOND = (
    "!has(self.window) || (self.window.contains('d') ? self.window.matches('[1-9]')"
    " : duration(self.window) >= duration('1s'))"
)
_GROWING = (
    "self.max.contains('d') || "
    "(!self.initial.contains('d') && duration(self.initial) <= duration(self.max))"
)
_HOST = (
    r"h.matches(r'^([*][.])?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$')"
    r" || h.matches(r'^\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?$')"
)
_ADDRESS = "h.matches('^[0-9]+([.][0-9]+){3}$') || h.contains(':')"

RULES: Mapping[type[PolicyModel], tuple[Rule, ...]] = {
    CallRules: (
        _unique("intercept"),
        _unique("routes", "name"),
        _unique("budgets", "name"),
        _unique("rates", "name"),
        _unique("credentials", "provider"),
    ),
    Floors: (_unique("budgets", "name"),),
    LabelSelector: (
        Rule(
            "!has(self.matchLabels) || "
            "self.matchLabels.all(key, size(key) > 0 && size(key) <= 317)",
            "a label's key has 1 to 317 characters",
        ),
    ),
    LabelRequirement: (
        Rule(
            "(has(self.values) && size(self.values) > 0) == (self.operator in ['In', 'NotIn'])",
            "values are needed with In and NotIn, and not taken by the others",
        ),
    ),
    Router: (
        Rule(
            "self.policy != 'weighted' || (self.candidates.all(c, has(c.weight))"
            " && self.candidates.exists(c, has(c.weight) && c.weight > 0))",
            "every candidate needs a weight, and one of them more than 0",
        ),
        Rule(
            "self.policy == 'weighted' || !self.candidates.exists(c, has(c.weight))",
            "weights are taken by policy: weighted only",
        ),
        Rule(
            "self.policy == 'conditional' || !self.candidates.exists(c, has(c.condition))",
            "conditions of candidates are taken by policy: conditional only",
        ),
        Rule(
            "!has(self.seed) || self.policy in ['random', 'weighted']",
            "seed is taken by policy: random and weighted only",
        ),
        Rule("!has(self.by) || self.policy == 'sticky'", "by is taken by policy: sticky only"),
        Rule(
            "has(self.plugin) == (self.policy == 'plugin')",
            "policy: plugin needs the plugin's name, and no other takes one",
        ),
        *(
            Rule(
                f"!has(self.{field}) || self.policy == 'learned'",
                f"{field}: taken by policy: learned only",
            )
            for field in map(to_camel, LEARNED_FIELDS)
        ),
        _some_time("staleness"),
    ),
    Retry: (Rule(_GROWING, "max should not be shorter than initial"),),
    Timeouts: tuple(_some_time(field) for field in ("connect", "firstByte", "idle", "total")),
    Breaker: (_some_time("window"), _some_time("openFor")),
    Cache: (_some_time("ttl"),),
    Budget: (
        Rule(
            "has(self.maxCostUSD) || has(self.maxTokens)",
            "a budget needs maxCostUSD or maxTokens",
        ),
        Rule(
            "!has(self.downgradeTo) || self.onExceed == 'downgrade'",
            "downgradeTo is taken by onExceed: downgrade only",
        ),
        Rule("!has(self.window) || self.per != 'call'", "a budget per call has no window"),
        Rule(_A_SECOND, "window should be one second or longer"),
    ),
    Rate: (
        Rule(
            "has(self.requestsPerMinute) || has(self.tokensPerMinute)",
            "a rate needs requestsPerMinute or tokensPerMinute",
        ),
    ),
    Credential: (
        Rule(
            "has(self.secretRef) || has(self.onlyFrom)",
            "a credential needs secretRef, or onlyFrom: policy",
        ),
        Rule("!has(self.secretRef) || self.provider != '*'", "a key is for one provider: name it"),
    ),
    LengthRatio: (
        Rule("has(self.min) || has(self.max)", "a ratio needs min or max"),
        Rule(
            "!has(self.min) || !has(self.max) || self.min <= self.max",
            "min should not be greater than max",
        ),
    ),
    AnswerCheck: (
        Rule(
            "!has(self.minChars) || !has(self.maxChars) || self.minChars <= self.maxChars",
            "minChars should not be greater than maxChars",
        ),
        Rule(
            "!has(self.labels) || size(self.labels) == 0"
            " || !(has(self.schema) || has(self.code) || (has(self.json) && self.json))",
            "labels are checked by themselves: leave json, schema and code out",
        ),
    ),
    AskedModel: (Rule(_A_SECOND, "window should be one second or longer"),),
    ProviderSpec: (
        Rule(
            f"self.hosts.all(h, {_HOST})",
            "a host is a name or address alone, without scheme, port, path or empty labels; "
            "only a leading '*.' may stand for many hosts",
        ),
        Rule(
            "self.hosts.all(h, !h.startsWith('*.') || h.matches('^[*][.][^.]+[.][^.]'))",
            "wider than one registrable domain: anyone may own hosts that it takes",
        ),
        Rule(
            f"!self.tls || !self.hosts.exists(h, {_ADDRESS})",
            "an IP address can't be intercepted over TLS: give the host's name",
        ),
    ),
}
"""The rules of each model, those of the models that it is made of left out."""
