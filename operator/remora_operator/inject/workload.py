"""The workload that a pod belongs to, as people name it."""

import re

from remora_operator.inject.pod import Pod

TEMPLATE_HASH_LABEL = "pod-template-hash"
_OF_CRON_JOB = re.compile(r"(.+)-\d{8,}")
"""A CronJob names its Jobs after itself and the minute since 1970 that they are of."""


def workload_name(pod: Pod) -> str:
    """Return the Deployment, CronJob or other owner's name; without an owner the pod's own."""
    owner = pod.owner
    if owner is None:
        return pod.name or pod.generate_name.removesuffix("-")
    if owner.kind == "ReplicaSet":
        return owner.name.removesuffix(f"-{pod.labels.get(TEMPLATE_HASH_LABEL, '')}")
    made_by_cron = _OF_CRON_JOB.fullmatch(owner.name) if owner.kind == "Job" else None
    return made_by_cron[1] if made_by_cron else owner.name
