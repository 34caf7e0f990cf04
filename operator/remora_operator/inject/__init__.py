"""The room of injection: a pure function from a pod to a patch."""

from remora_operator.inject.config import InjectionConfig, Namespace, PolicyNeeds, policy_needs
from remora_operator.inject.injection import inject
from remora_operator.inject.outcome import Decision, Injection, Mode, Operation, Refuse, Skip

__all__ = [
    "Decision",
    "Injection",
    "InjectionConfig",
    "Mode",
    "Namespace",
    "Operation",
    "PolicyNeeds",
    "Refuse",
    "Skip",
    "inject",
    "policy_needs",
]
