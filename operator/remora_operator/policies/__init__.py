"""The room of the policy custom resources: what is in force for which pod, and their status.

Pure: whoever watches the cluster puts what it sees on a `PolicyShelf`.
"""

from remora_operator.policies.answers import Answer, Answers, Refusal
from remora_operator.policies.conditions import Condition
from remora_operator.policies.pod_policy import Held, PodPolicy
from remora_operator.policies.pods import PodFacts, Provided
from remora_operator.policies.reading import ObjectKey, Reading, read_object
from remora_operator.policies.shelf import PolicyShelf
from remora_operator.policies.status import ObjectStatus, each_status, statuses

__all__ = [
    "Answer",
    "Answers",
    "Condition",
    "Held",
    "ObjectKey",
    "ObjectStatus",
    "PodFacts",
    "PodPolicy",
    "PolicyShelf",
    "Provided",
    "Reading",
    "Refusal",
    "each_status",
    "read_object",
    "statuses",
]
