"""A pod's volumes as folders of this machine, filled, owned and renewed as the kubelet does.

Folders of ConfigMaps, Secrets and projections change in one step: what programs see are links
into a folder that is exchanged whole. So a file mounted by ``subPath`` stays what it was.
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remora.testing.kubelet.cluster import Cluster, PodIdentity
from remora.testing.kubelet.spec import NotRunnable, PodSpec
from remora.testing.kubelet.variables import field_value

type Json = Mapping[str, Any]

_DATA = "..data"
_MODE = 0o644
_TOKEN_MODE = 0o600


class PodVolumes:
    """The volumes of one pod."""

    def __init__(self, pod: PodSpec, cluster: Cluster, folder: Path, pod_ip: str) -> None:
        """Take what they are made of; nothing is made yet.

        Args:
            pod: Whose they are.
            cluster: Gives what they are filled with.
            folder: Where they go.
            pod_ip: For the downward API.
        """
        self._pod = pod
        self._cluster = cluster
        self._folder = folder
        self._pod_ip = pod_ip

    def make(self) -> None:
        """Make and fill all of them.

        Raises:
            NotRunnable: One can't be made, or something that it needs is missing.
        """
        for volume in self._pod.volumes:
            place = self._folder / volume["name"]
            place.mkdir(parents=True)
            if "emptyDir" in volume:
                self._own_empty(place)
            elif "hostPath" in volume:
                raise NotRunnable(f"volume {volume['name']}: hostPath is not given away")
            else:
                self._fill(volume, place)

    def refresh(self) -> None:
        """Take what the cluster has now, as the kubelet does every minute or so."""
        for volume in self._pod.volumes:
            if "emptyDir" not in volume:
                self._fill(volume, self._folder / volume["name"])

    def path(self, volume: str, sub_path: str = "") -> Path:
        """Return what is mounted: a volume's folder, or a file or folder in it.

        Raises:
            NotRunnable: There is no such volume.
        """
        place = self._folder / volume
        if not place.is_dir():
            raise NotRunnable(f"volume {volume} is mounted and not defined")
        if not sub_path:
            return place
        found = (place / sub_path).resolve()
        if not found.exists():
            found.mkdir(parents=True)
            self._own_empty(found)
        return found

    def _own_empty(self, place: Path) -> None:
        place.chmod(0o777)
        if self._pod.fs_group is not None:
            os.chown(place, 0, self._pod.fs_group)
            place.chmod(0o2777)

    def _fill(self, volume: Json, place: Path) -> None:
        """Write a new folder and have the links lead there."""
        new = f"..{uuid.uuid4().hex}"
        files = self._files(volume)
        for path, (content, mode, owner) in files.items():
            self._write(place / new / path, content, mode, owner)
        (place / new).mkdir(exist_ok=True)
        old = (place / _DATA).readlink() if (place / _DATA).is_symlink() else None
        self._link(place / _DATA, new)
        for top in {Path(path).parts[0] for path in files}:
            self._link(place / top, f"{_DATA}/{top}")
        if old is not None:
            shutil.rmtree(place / old)

    def _link(self, link: Path, target: str) -> None:
        temporary = link.with_name(f"..{uuid.uuid4().hex}")
        temporary.symlink_to(target)
        temporary.replace(link)

    def _write(self, file: Path, content: bytes, mode: int, owner: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        group = self._pod.fs_group
        os.chown(file, owner, 0 if group is None else group)
        file.chmod(mode if group is None else mode | 0o040)

    def _files(self, volume: Json) -> dict[str, tuple[bytes, int, int]]:
        """Return contents, modes and owners by path."""
        whole = volume.get("projected")
        if whole is None:
            kind = next(name for name in volume if name != "name")
            source = dict(volume[kind])
            mode = source.pop("defaultMode", None) or _MODE
            if "secretName" in source:
                source["name"] = source.pop("secretName")
            return self._source(kind, source, mode)
        files: dict[str, tuple[bytes, int, int]] = {}
        for source in whole.get("sources") or ():
            for kind, given in source.items():
                files |= self._source(kind, given, whole.get("defaultMode") or _MODE)
        return files

    def _source(self, kind: str, given: Json, mode: int) -> dict[str, tuple[bytes, int, int]]:
        if kind == "serviceAccountToken":
            return {given["path"]: self._token(given, mode)}
        if kind == "downwardAPI":
            return {
                item["path"]: (self._field(item), item.get("mode") or mode, 0)
                for item in given.get("items") or ()
            }
        read = {"configMap": self._cluster.config_map, "secret": self._cluster.secret}.get(kind)
        if read is None:
            raise NotRunnable(f"volumes of the kind {kind} are not supported here")
        found = read(self._pod.namespace, given["name"])
        if found is None and not given.get("optional"):
            raise NotRunnable(f"{kind} {given['name']} is missing")
        return _selected(kind, given, found or {}, mode)

    def _field(self, item: Json) -> bytes:
        return field_value(self._pod, item["fieldRef"]["fieldPath"], self._pod_ip).encode()

    def _token(self, given: Json, mode: int) -> tuple[bytes, int, int]:
        """Make a token, readable by its one user, or by its group, or else as the volume says."""
        pod = self._pod
        identity = PodIdentity(pod.namespace, pod.name, pod.uid, pod.service_account)
        token = self._cluster.token(
            identity, given.get("audience") or "", int(given.get("expirationSeconds") or 3600)
        )
        if pod.fs_group is not None:
            return token.encode(), _TOKEN_MODE, 0
        if pod.same_user is not None:
            return token.encode(), _TOKEN_MODE, pod.same_user
        return token.encode(), mode, 0


def _selected(
    kind: str, given: Json, found: Mapping[str, bytes], mode: int
) -> dict[str, tuple[bytes, int, int]]:
    if given.get("items") is None:
        return {key: (value, mode, 0) for key, value in found.items()}
    files = {}
    for item in given["items"]:
        if item["key"] in found:
            files[item["path"]] = (found[item["key"]], item.get("mode") or mode, 0)
        elif not given.get("optional"):
            raise NotRunnable(f"{kind} {given['name']} has no key {item['key']}")
    return files
