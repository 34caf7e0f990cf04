"""What agents are served with, by the sidecar's settings: a CA of its own, or the operator's.

Outside a cluster the CA is a file of the data directory. With an operator the key is in memory,
and nobody is served before the operator has signed for it.
"""

import asyncio
import logging

from remora.client.target import AggregatorTarget
from remora.clock import Clock
from remora.errors import ConfigError
from remora.providers.certificate_hosts import certificate_hosts
from remora.task_owner import TaskOwner
from remora_sidecar.certificate_client import CertificateClient
from remora_sidecar.data_directory import DataDirectory
from remora_sidecar.interceptor.authority import CertificateAuthority, LocalAuthority
from remora_sidecar.interceptor.trust_files import write_trust_files
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.settings import SidecarSettings

logger = logging.getLogger(__name__)

_COVER_S = 1.0
"""How long a changed policy waits for certificates of hosts that it adds."""


class Certification:
    """One sidecar's authority, and how it is kept.

    Attributes:
        client: Asks the operator; None where the CA is a file.
    """

    def __init__(
        self,
        settings: SidecarSettings,
        data: DataDirectory,
        clock: Clock,
        client: CertificateClient | None,
    ) -> None:
        """Take where the CA and the trust files are; `open` is how a sidecar gets one."""
        self.client = client
        self._settings = settings
        self._data = data
        self._clock = clock

    @classmethod
    def open(cls, settings: SidecarSettings, data: DataDirectory, clock: Clock) -> "Certification":
        """Choose by the settings; nothing is read or dialled yet."""
        if settings.operator is None:
            return cls(settings, data, clock, None)
        target = AggregatorTarget(
            settings.operator,
            token_file=settings.operator_token_file,
            ca_file=settings.operator_ca,
        )
        return cls(settings, data, clock, CertificateClient(target, clock))

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look at."""
        return () if self.client is None else self.client.problems

    def start(self, tasks: TaskOwner) -> None:
        """Ask the operator from now on, if there is one."""
        if self.client is not None:
            tasks.spawn(self.client.run(), name="certificates")

    async def authority(self, tasks: TaskOwner) -> CertificateAuthority:
        """Give what signs, once it can, with the trust files written.

        Raises:
            ConfigError: The CA of this installation can't be used, or its files not be written.
        """
        if self.client is None:
            local = LocalAuthority.open(self._data.path, self._clock)
            self._write_trust_files(local.root_pem)
            return local
        await self.client.first()
        await self._follow_roots(self.client)
        tasks.spawn(self._keep_trust_files(self.client), name="trust files")
        return self.client.authority

    async def cover(self, policy: PolicySnapshot) -> None:
        """Have certificates for the hosts of a policy before it holds, if they come soon."""
        if self.client is not None:
            defined = (provider for provider in policy.registry if not provider.run_time)
            await self.client.cover(certificate_hosts(defined), within_s=_COVER_S)

    async def _keep_trust_files(self, client: CertificateClient) -> None:
        while True:
            await client.roots_changed.wait()
            await self._follow_roots(client)

    async def _follow_roots(self, client: CertificateClient) -> None:
        """Write the roots that the operator names, where that can be done.

        In a pod the folder is the operator's to fill and may not be writable; what agents trust
        does not hang on it.
        """
        client.roots_changed.clear()
        try:
            await asyncio.to_thread(self._write_trust_files, client.authority.root_pem)
        except ConfigError as error:
            logger.info("the operator's trust files stand as they are: %s", error)

    def _write_trust_files(self, root_pem: bytes) -> None:
        folder, data_dir = self._settings.trust_folder, self._data.path
        write_trust_files(folder, root_pem, self._clock, data_dir=data_dir)
