"""The kubelet itself: admits pods to this machine, and takes them down again."""

import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from remora.testing import network as networks
from remora.testing.kubelet.cluster import Cluster
from remora.testing.kubelet.image import Image
from remora.testing.kubelet.node import PodNode
from remora.testing.kubelet.pod import RunningPod
from remora.testing.kubelet.spec import NotRunnable, read_pod
from remora.testing.network import Network

_TOOLS = ("mount", "nsenter", "pivot_root", "setpriv", "unshare")
_TRIAL = """\
d=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/u $d/w $d/r &&
mount -t overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w overlay $d/r
result=$?; umount -l $d; rmdir $d; exit $result
"""


def why_not() -> str:
    """Say why pods can't be run here; empty if they can."""
    if reason := networks.why_not():
        return reason
    missing = [name for name in _TOOLS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages mount, util-linux)"
    tried = subprocess.run(  # noqa: S603 - our own words
        ["unshare", "--mount", "--pid", "--uts", "--fork", "sh", "-c", _TRIAL],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = tried.stderr.strip() or "overlay file systems can't be mounted"
    return "" if tried.returncode == 0 else said


class Kubelet:
    """Runs pods, each in a network that its caller gives it."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        images: Callable[[str], Image],
        *,
        pace: float = 1.0,
    ) -> None:
        """Take what pods are run with.

        Args:
            folder: Where volumes and logs go; containers can't see it. It is left to the caller.
            cluster: Gives ConfigMaps, Secrets and tokens.
            images: Gives an image by its name.
            pace: How many seconds a second of probes' periods and of back-off lasts.
        """
        self._folder = folder
        self._cluster = cluster
        self._images = images
        self._pace = pace

    @contextlib.asynccontextmanager
    async def running(self, pod: Mapping[str, Any], network: Network) -> AsyncIterator[RunningPod]:
        """Run a pod; on leaving it is deleted, if it is not over by then.

        Args:
            pod: As the API server has it after admission.
            network: Whose pod it becomes.

        Raises:
            NotRunnable: It asks for what this kubelet has not.
        """
        spec = read_pod(pod)
        folder = self._folder / f"{spec.namespace}-{spec.name}"
        if folder.exists():
            raise NotRunnable(f"a pod {spec.namespace}/{spec.name} was here already")
        node = PodNode(spec, network, self._cluster, self._images, folder)
        made = RunningPod(spec, node, self._pace)
        made.start()
        try:
            yield made
        finally:
            await made.delete(0)
