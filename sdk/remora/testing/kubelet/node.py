"""What one pod stands on: its network, volumes, files and the images of its containers."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.testing.kubelet.cluster import Cluster
from remora.testing.kubelet.image import Image
from remora.testing.kubelet.runtime import ContainerProcess, Runtime
from remora.testing.kubelet.sandbox import Bind, Sandbox, closed_ancestors
from remora.testing.kubelet.spec import ContainerSpec, NotRunnable, PodSpec
from remora.testing.kubelet.variables import command_line, environment
from remora.testing.kubelet.volumes import PodVolumes
from remora.testing.network import POD_IPV4, Namespace, Network

SERVICES: Mapping[str, str] = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
}
"""What every container is told of the Service of the API server."""

_NAMESPACE_FILES = Path("/etc/netns")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of one pod on this machine."""

    folder: Path

    @property
    def volumes(self) -> Path:
        """Where its volumes are."""
        return self.folder / "volumes"

    @property
    def logs(self) -> Path:
        """Where its containers' logs are."""
        return self.folder / "logs"

    @property
    def own(self) -> Path:
        """Where the files are that the kubelet mounts itself."""
        return self.folder / "files"


class PodNode:
    """Makes the containers of one pod."""

    def __init__(
        self,
        pod: PodSpec,
        network: Network,
        cluster: Cluster,
        image_of: Callable[[str], Image],
        folder: Path,
    ) -> None:
        """Take what the pod is put together from; nothing is made yet."""
        self._pod = pod
        self._network = network
        self._cluster = cluster
        self._image_of = image_of
        self._places = Places(folder)
        self._runtime = Runtime(network.pod.name)
        self._numbers = itertools.count()
        self.volumes = PodVolumes(pod, cluster, self._places.volumes, POD_IPV4)

    @property
    def outside(self) -> Namespace:
        """Where the node asks from."""
        return self._network.internet

    def log(self, container: str) -> Path:
        """Return where a container's log is."""
        return self._places.logs / f"{container}.log"

    async def prepare(self) -> None:
        """Make what containers share.

        Raises:
            NotRunnable: Something is missing.
        """
        for folder in (self._places.volumes, self._places.logs, self._places.own):
            folder.mkdir(parents=True)
        self._write_files()
        self.volumes.make()
        if self._pod.shares_processes:
            await self._runtime.share_processes()

    async def start(self, container: ContainerSpec) -> ContainerProcess:
        """Start a container.

        Raises:
            NotRunnable: It can't be made; the text says why.
        """
        log = self.log(container.name)
        log.touch()
        log.chmod(0o666)  # what opens /dev/stdout opens this
        return await self._runtime.start(self._sandbox(container), log)

    def variables(self, container: ContainerSpec) -> dict[str, str]:
        """Return all variables of a container, its image's included."""
        image = self._image_of(container.image)
        own = environment(container, self._pod, self._cluster, services=SERVICES, pod_ip=POD_IPV4)
        home = "/root" if self._user(container, image) == 0 else "/"
        return {"HOME": home, "HOSTNAME": self._pod.name, **image.environment, **own}

    async def aclose(self) -> None:
        """End what containers share."""
        await self._runtime.aclose()

    def _sandbox(self, container: ContainerSpec) -> Sandbox:
        image = self._image_of(container.image)
        user = self._user(container, image)
        group = container.rights.group
        known = self.variables(container)
        if group is None:
            group = image.group if container.rights.user is None else 0
        return Sandbox(
            host_name=self._pod.name,
            scratch=self._new_folder("scratch"),
            hidden=self._hidden(image),
            copies=self._copies(image),
            binds=self._binds(container, image),
            reads_only=container.rights.reads_only,
            working_dir=container.working_dir,
            rights=container.rights.arguments(user, group),
            environment=known,
            command=command_line(container, image.entrypoint, image.command, known),
        )

    def _user(self, container: ContainerSpec, image: Image) -> int:
        user = image.user if container.rights.user is None else container.rights.user
        if user == 0 and container.rights.must_not_be_root:
            raise NotRunnable(f"container {container.name} has runAsNonRoot and would run as root")
        return user

    def _hidden(self, image: Image) -> list[Path]:
        """Hide what the kubelet keeps, and what is closed above what everybody may read."""
        return [self._places.folder, *closed_ancestors(image.readable)]

    def _copies(self, image: Image) -> dict[str, Path]:
        copies = {}
        for path, content in image.files.items():
            copies[path] = self._new_folder("image") / "content"
            copies[path].write_bytes(content)
        return copies

    def _binds(self, container: ContainerSpec, image: Image) -> list[Bind]:
        own = self._places.own
        message = self._new_folder("message") / "message"
        message.touch()
        message.chmod(0o666)
        binds = [Bind(path, str(path), True) for path in image.readable]
        binds += [Bind(own / name, f"/etc/{name}", False) for name in _FILES]
        binds += [Bind(message, container.termination_path, False)]
        mounts = sorted(container.mounts, key=lambda mount: mount.path.rstrip("/").count("/"))
        return binds + [
            Bind(self.volumes.path(mount.volume, mount.sub_path), mount.path, mount.read_only)
            for mount in mounts
        ]

    def _new_folder(self, kind: str) -> Path:
        folder = self._places.folder / f"{kind}-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def _write_files(self) -> None:
        """Write the files in /etc that the kubelet makes for every pod."""
        given = _NAMESPACE_FILES / self._network.pod.name
        hosts = (given / "hosts").read_text() + f"{POD_IPV4} {self._pod.name}\n"
        for alias in self._pod.host_aliases:
            hosts += f"{alias['ip']} {' '.join(alias.get('hostnames') or ())}\n"
        (self._places.own / "hosts").write_text(hosts)
        (self._places.own / "hostname").write_text(f"{self._pod.name}\n")
        (self._places.own / "resolv.conf").write_text((given / "resolv.conf").read_text())


_FILES = ("hosts", "hostname", "resolv.conf")
