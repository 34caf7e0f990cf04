"""What is counted of this replica's part in the cluster; docs/observability.md has the table."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ClusterMetrics:
    """The metrics of watching, leading and writing back.

    Attributes:
        watched: Objects that are kept, by resource.
        watches_broken: 1 while a resource can't be watched, else 0.
        restarts: Times that a watch had to begin anew, by resource and reason: ``expired`` or
            ``error``.
        unreadable: Objects that could not be taken, by resource.
        leader: 1 while this replica leads, else 0.
        status_writes: Statuses written by the leader, by result: ``written``, ``conflict``,
            ``gone``, ``refused`` or ``unavailable``.
        marks: Versions written on pods, by the same results.
        marks_waiting: Pods whose version is still to be written.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self.watched = Gauge(
            "remora_operator_watched_objects",
            "Objects of the cluster that the operator keeps, by resource",
            ["resource"],
            registry=registry,
        )
        self.watches_broken = Gauge(
            "remora_operator_watch_broken",
            "Whether a resource can't be watched right now, by resource",
            ["resource"],
            registry=registry,
        )
        self.restarts = Counter(
            "remora_operator_watch_restarts",
            "Watches that had to begin anew, by resource and reason",
            ["resource", "reason"],
            registry=registry,
        )
        self.unreadable = Counter(
            "remora_operator_unreadable_objects",
            "Objects of the cluster that could not be taken, by resource",
            ["resource"],
            registry=registry,
        )
        self.leader = Gauge(
            "remora_operator_leader", "Whether this replica leads", registry=registry
        )
        self.status_writes = Counter(
            "remora_operator_status_writes",
            "Statuses of policy objects that were written, by result",
            ["result"],
            registry=registry,
        )
        self.marks = Counter(
            "remora_operator_pod_marks",
            "Policy versions that were written on pods, by result",
            ["result"],
            registry=registry,
        )
        self.marks_waiting = Gauge(
            "remora_operator_pod_marks_waiting",
            "Pods on which a policy version is still to be written",
            registry=registry,
        )
