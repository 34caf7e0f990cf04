"""What a container's first process does before it becomes the container: a shell script. Pure.

It runs in namespaces of its own and ends in ``exec``. The root is an overlay over this machine's
root, whose upper layer is memory and is gone with the container. The machine's own root stands at
`_HOST` until all is mounted, so that links lead where they lead in the container.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_HOST = "/.host"
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

_ENTER = """\
set -eu
read -r pid _ < /proc/self/stat
mount -t tmpfs -o mode=0755 tmpfs {scratch}
mkdir {scratch}/upper {scratch}/work {scratch}/root
mount -t overlay -o lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work overlay \
{scratch}/root
cd {scratch}/root
mkdir -p .{host}
pivot_root . .{host}
cd /
printf %s {host_name} > {host}/proc/sys/kernel/hostname
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs -o mode=0755 tmpfs /dev
mkdir /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
for device in {devices}; do : > /dev/$device; mount --bind {host}/dev/$device /dev/$device; done
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mount -t tmpfs -o mode=1777 tmpfs /tmp
place() {{ # source, target
  if [ -d "{host}$1" ]; then mkdir -p "$2"
  else mkdir -p "${{2%/*}}/"; [ -e "$2" ] || : > "$2"; fi
}}
bind() {{ place "$1" "$2"; mount --bind "{host}$1" "$2"; }}
bind_ro() {{ bind "$1" "$2"; mount -o remount,bind,ro "$2"; }}
hide() {{ mkdir -p "$1"; mount -t tmpfs -o mode=0755 tmpfs "$1"; }}
copy() {{ mkdir -p "${{2%/*}}/"; cat "{host}$1" > "$2"; }}
"""
_LEAVE = """\
umount -l {host}
rmdir {host}
"""
_READ_ONLY = "mount -o remount,bind,ro /\nmount -o remount,ro /tmp\n"
_START = """\
mkdir -p {folder} 2>/dev/null || :
cd {folder}
echo $pid >&0
exec < /dev/null
exec setpriv {rights} env -i {command}
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine, and where it is in the container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a container is made of.

    Attributes:
        host_name: Its host name.
        scratch: An empty folder of this machine, used as a mount point alone.
        hidden: Folders that are empty in the container.
        copies: Files of this machine, by the path at which the container has its own copy.
        binds: What is mounted, in this order.
        reads_only: The root can't be written.
        working_dir: Where its process starts; made if it is not there.
        rights: Arguments of ``setpriv``.
        environment: All variables.
        command: What it runs.
    """

    host_name: str
    scratch: Path
    hidden: Sequence[Path]
    copies: Mapping[str, Path]
    binds: Sequence[Bind]
    reads_only: bool
    working_dir: str
    rights: Sequence[str]
    environment: Mapping[str, str]
    command: Sequence[str]

    def script(self) -> str:
        """Write the script; it says its process id on descriptor 0 as the last thing it does."""
        lines = [f"hide {_q(path)}" for path in self.hidden]
        lines += [f"copy {_q(source)} {_q(path)}" for path, source in self.copies.items()]
        lines += [
            f"{'bind_ro' if one.read_only else 'bind'} {_q(one.source)} {_q(one.target)}"
            for one in self.binds
        ]
        entered = _ENTER.format(
            scratch=_q(self.scratch),
            host=_HOST,
            host_name=_q(self.host_name),
            devices=" ".join(_DEVICES),
        )
        started = _START.format(
            folder=_q(self.working_dir),
            rights=shlex.join(self.rights),
            command=env_command(self.environment, self.command),
        )
        mounted = "".join(f"{line}\n" for line in lines)
        read_only = _READ_ONLY if self.reads_only else ""
        return entered + mounted + _LEAVE.format(host=_HOST) + read_only + started


def env_command(environment: Mapping[str, str], command: Sequence[str]) -> str:
    """Write what follows ``env -i``."""
    return shlex.join([*(f"{name}={value}" for name, value in environment.items()), *command])


def closed_ancestors(paths: Sequence[Path]) -> list[Path]:
    """Return the topmost folders above paths that not everybody may pass."""
    closed = []
    for path in paths:
        above = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001]
        closed += above[:1]
    return list(dict.fromkeys(closed))


def _q(value: object) -> str:
    return shlex.quote(str(value))
