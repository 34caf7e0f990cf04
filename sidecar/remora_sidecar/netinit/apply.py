"""Gives a ruleset to nft: the only part of netinit that changes anything."""

import errno
import shutil
import subprocess
from pathlib import Path

from remora.errors import RemoraError

_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where nft is on systems whose users don't search there."""

_TIMEOUT_S = 30

_IPV6_INTERFACES = Path("/proc/net/if_inet6")


class NetinitError(RemoraError):
    """The rules could not be changed; nothing is changed then."""

    exit_code = 1


class NftMissingError(NetinitError):
    """There is no nft to run."""

    exit_code = 4

    def __init__(self) -> None:
        """Say what to install."""
        super().__init__(
            "nft is not installed; install the package nftables (apt-get install nftables, "
            "apk add nftables, dnf install nftables)"
        )


class PrivilegeError(NetinitError):
    """This process may not change the network's rules."""

    exit_code = 3

    def __init__(self, detail: str) -> None:
        """Say which capability is missing and how to give it."""
        super().__init__(
            f"not permitted to change the rules of this network namespace ({detail}): the "
            "capability NET_ADMIN is needed. Run as root; in Kubernetes or compose add "
            "NET_ADMIN to the container's capabilities and run it as user 0, or allow "
            "privilege escalation so that a non-root user gets it from nft's file capability. "
            "Without it use explicit mode, which needs no rules"
        )


def find_nft() -> str:
    """Return the path of nft.

    Raises:
        NftMissingError: If it isn't installed.
    """
    path = shutil.which("nft") or shutil.which("nft", path=_SYSTEM_FOLDERS)
    if path is None:
        raise NftMissingError
    return path


def has_ipv6() -> bool:
    """Tell whether this kernel speaks IPv6 at all."""
    return _IPV6_INTERFACES.exists()


def apply(text: str, nft: str) -> None:
    """Run a ruleset as one transaction.

    Args:
        text: From `ruleset.render` or `ruleset.removal`.
        nft: From `find_nft`.

    Raises:
        NetinitError: If nft refuses; nothing is changed then.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the system's nft; the text goes by stdin
            [nft, "-f", "-"],
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NetinitError(f"nft did not finish within {_TIMEOUT_S} s") from None
    except OSError as error:
        if error.errno == errno.EPERM:  # nft has a file capability that this container may not use
            raise PrivilegeError(f"{nft} can't be run") from error
        raise NetinitError(f"{nft} can't be run: {error.strerror}") from error
    if done.returncode != 0:
        raise _refusal(done.stderr.strip())


def _refusal(stderr: str) -> NetinitError:
    first = stderr.partition("\n")[0]
    if "Operation not permitted" in stderr or "must be root" in stderr:
        return PrivilegeError(first)
    if "not supported" in stderr:
        return NetinitError(
            f"this kernel or sandbox can't redirect connections ({first}): it needs nf_tables with "
            "NAT. Explicit mode needs no rules"
        )
    return NetinitError(f"nft refused the rules: {stderr}")
