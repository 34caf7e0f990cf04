"""Who may do what: one table of roles and acts, one of methods and acts. Pure.

The gate in front of gRPC and whatever serves HTTP ask these tables and no other. A method that
stands in none of them is refused, so that a new one is not open by oversight.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Role(Enum):
    """What a caller is to the aggregator.

    A reporter (every sidecar) acts for its own pod and namespace, a reader looks at the namespaces
    that it is given, an admin may do all in those that it is given. A member reports and reads in
    its one namespace: what everybody is who shares a token of two words.
    """

    REPORTER = "reporter"
    MEMBER = "member"
    READER = "reader"
    ADMIN = "admin"


class Act(Enum):
    """What is done."""

    ASK_HEALTH = "ask whether it is well"
    LEARN_SERVICES = "learn what services there are"
    REPORT = "report records"
    READ_RECORDS = "read records"
    LEASE = "lease parts of budgets"
    READ_TASKS = "read tasks and budgets"
    STEER_TASKS = "create, change, pause or cancel tasks"
    RESUME_TASKS = "resume tasks"
    SEND_SIGNALS = "send signals"
    READ_SIGNALS = "read signals"
    REPORT_EXECUTIONS = "report executions of workflows"
    READ_EXECUTIONS = "read executions of workflows"
    READ_SCORES = "read and follow scores"
    STEER_SCORES = "change router versions and settings"
    PURGE = "purge records"
    READ_AUDIT = "read the audit log"


ANYBODY: Final = frozenset({Act.ASK_HEALTH})
"""What needs no identity: probes have none."""

_READING: Final = {
    Act.READ_RECORDS, Act.READ_TASKS, Act.READ_SIGNALS, Act.READ_SCORES, Act.READ_EXECUTIONS,
}  # fmt: skip
_EVERYBODY: Final = ANYBODY | {Act.LEARN_SERVICES} | _READING
_WRITING: Final = {
    Act.REPORT, Act.LEASE, Act.STEER_TASKS, Act.SEND_SIGNALS, Act.REPORT_EXECUTIONS,
}  # fmt: skip

MAY: Final[Mapping[Role, frozenset[Act]]] = MappingProxyType(
    {
        # An agent may pause its own task until somebody has looked at it, and not undo a person's
        # pause: who resumes is no agent.
        Role.REPORTER: _EVERYBODY | _WRITING,
        Role.MEMBER: _EVERYBODY | _WRITING | {Act.RESUME_TASKS, Act.STEER_SCORES},
        Role.READER: _EVERYBODY,
        Role.ADMIN: frozenset(Act),
    }
)

QUERIES: Final = frozenset({*_READING, Act.READ_AUDIT})
"""What counts against the limit of queries."""

METHODS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "/grpc.health.v1.Health/Check": Act.ASK_HEALTH,
        "/grpc.health.v1.Health/List": Act.ASK_HEALTH,
        "/grpc.health.v1.Health/Watch": Act.ASK_HEALTH,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Act.LEARN_SERVICES,
        "/remora.v1.RecordService/Report": Act.REPORT,
        "/remora.v1.RecordService/Query": Act.READ_RECORDS,
        "/remora.v1.RecordService/Watch": Act.READ_RECORDS,
        "/remora.v1.RecordService/Usage": Act.READ_RECORDS,
        "/remora.v1.TaskService/Lease": Act.LEASE,
        "/remora.v1.TaskService/Budgets": Act.READ_TASKS,
        "/remora.v1.TaskService/Get": Act.READ_TASKS,
        "/remora.v1.TaskService/List": Act.READ_TASKS,
        "/remora.v1.TaskService/Watch": Act.READ_TASKS,
        "/remora.v1.TaskService/Create": Act.STEER_TASKS,
        "/remora.v1.TaskService/Update": Act.STEER_TASKS,
        "/remora.v1.TaskService/Cancel": Act.STEER_TASKS,
        "/remora.v1.TaskService/Pause": Act.STEER_TASKS,
        "/remora.v1.TaskService/Resume": Act.RESUME_TASKS,
        "/remora.v1.SignalService/Send": Act.SEND_SIGNALS,
        "/remora.v1.SignalService/Query": Act.READ_SIGNALS,
        "/remora.v1.WorkflowService/Report": Act.REPORT_EXECUTIONS,
        "/remora.v1.WorkflowService/Get": Act.READ_EXECUTIONS,
        "/remora.v1.WorkflowService/List": Act.READ_EXECUTIONS,
        "/remora.v1.WorkflowService/Watch": Act.READ_EXECUTIONS,
        "/remora.v1.ScoreService/Watch": Act.READ_SCORES,
        "/remora.v1.ScoreService/Scores": Act.READ_SCORES,
        "/remora.v1.ScoreService/Timeline": Act.READ_SCORES,
        "/remora.v1.ScoreService/Benchmarks": Act.READ_SCORES,
        "/remora.v1.ScoreService/Log": Act.READ_SCORES,
        "/remora.v1.ScoreService/Versions": Act.READ_SCORES,
        "/remora.v1.ScoreService/Diff": Act.READ_SCORES,
        "/remora.v1.ScoreService/Propose": Act.STEER_SCORES,
        "/remora.v1.ScoreService/Activate": Act.STEER_SCORES,
        "/remora.v1.ScoreService/RollBack": Act.STEER_SCORES,
        # Whoever puts some needs STEER_SCORES, too; the service asks for it.
        "/remora.v1.ScoreService/Settings": Act.READ_SCORES,
        "/remora.v1.AdminService/Purge": Act.PURGE,
        "/remora.v1.AdminService/Audit": Act.READ_AUDIT,
    }
)

AUDITED: Final = frozenset(
    {
        "/remora.v1.TaskService/Cancel",
        "/remora.v1.TaskService/Pause",
        "/remora.v1.TaskService/Resume",
        "/remora.v1.ScoreService/Propose",
        "/remora.v1.ScoreService/Activate",
        "/remora.v1.ScoreService/RollBack",
        "/remora.v1.ScoreService/Settings",
        "/remora.v1.AdminService/Purge",
    }
)
"""What is written down where it is not a reporter that does it, and where it is refused."""

AUDITED_IF: Final[Mapping[str, str]] = MappingProxyType({"/remora.v1.ScoreService/Settings": "put"})
"""The field that a message of such a method has to have; without it the method only asks."""


def may(role: Role, act: Act) -> bool:
    """Tell whether a role may do something, somewhere."""
    return act in MAY[role]
