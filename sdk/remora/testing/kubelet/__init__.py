"""A kubelet for tests: runs a pod as processes in namespaces of this machine.

It takes what an API server would hand a node: a pod after admission. Init containers, native
sidecars, users, capabilities, variables, mounts, probes, restarts and the end of a pod are as
Kubernetes documents them; the image of every container is this machine's own file system, below
a layer that takes what the container writes. So real rules, a real sidecar and real clients
meet as they do in a cluster. It needs root, and nothing that a plain Linux lacks.

What it does not have: cgroups (requests and limits), seccomp and AppArmor, user namespaces,
image pulls, and the API server's own part (`remora.testing.kubernetes_api` has some of that).
"""

from remora.testing.kubelet.cluster import ApiCluster, Cluster, PodIdentity
from remora.testing.kubelet.image import Image, remora_image
from remora.testing.kubelet.kubelet import Kubelet, why_not
from remora.testing.kubelet.pod import Phase, RunningPod
from remora.testing.kubelet.spec import NotRunnable

__all__ = [
    "ApiCluster",
    "Cluster",
    "Image",
    "Kubelet",
    "NotRunnable",
    "Phase",
    "PodIdentity",
    "RunningPod",
    "remora_image",
    "why_not",
]
