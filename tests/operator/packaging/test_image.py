"""The image has what pods and manifests ask of it."""

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tests.operator.packaging.rendered import (
    HOUSE,
    charted,
    container_of,
    kustomized,
    pod_template,
    samples,
    workloads,
)
from tests.operator.pods import injected, pod

from remora import __version__
from remora_operator.inject import InjectionConfig

DOCKERFILE = (HOUSE / "Dockerfile").read_text()
NET_ADMIN = 12
"""CAP_NET_ADMIN of <linux/capability.h>."""

NOBODY = 65534
IN_A_CONTAINER = """
import ctypes, os, sys
user, kept, escalation, *command = sys.argv[1:]
os.unshare(os.CLONE_NEWNET)
system = ctypes.CDLL(None)
for capability in range(64):
    if str(capability) not in kept.split():
        system.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.setgroups([])
os.setgid(int(user))
os.setuid(int(user))
if escalation == "False":
    system.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
os.execv(command[0], command)
"""
"""Gives up what a container runtime takes away, in a network of its own."""


def _ours():
    yield from workloads([*kustomized(), *kustomized("overlays/postgres"), *charted()])
    yield from samples()["07-look.yaml"]


def test_the_label_says_the_projects_version():
    assert f'org.opencontainers.image.version="{__version__}"' in DOCKERFILE


def test_what_manifests_and_pods_run_are_commands_that_there_are():
    asked = {args[0] for w in _ours() if (args := container_of(w).get("args"))}
    asked |= {c["args"][0] for c in injected(pod())["spec"]["initContainers"]}
    assert asked == {"operator", "aggregator", "sidecar", "netinit"}
    there = {entry.name for entry in entry_points(group="remora.commands")}
    assert asked - {"operator"} <= there
    assert '\nENTRYPOINT ["remora"]\n' in DOCKERFILE


def test_servers_run_as_the_images_user():
    uid = InjectionConfig().sidecar_uid
    assert f"\nUSER {uid}:{uid}\n" in DOCKERFILE
    for workload in _ours():
        assert pod_template(workload)["spec"]["securityContext"]["runAsUser"] == uid


def test_the_capability_is_set_on_the_file_that_netinit_runs_and_its_tool_is_gone():
    assert re.findall(r"setcap (\S+) (\S+)", DOCKERFILE) == [("cap_net_admin+eip", "/usr/sbin/nft")]
    installed = re.search(r"install --yes --no-install-recommends (.*?) \\", DOCKERFILE)[1].split()
    purged = re.search(r"purge --yes --auto-remove (\S+)", DOCKERFILE)[1]
    assert installed == ["nftables", purged]


@pytest.fixture
def nft(namespaces_work):
    """The system's nft, made as the image's is, where any user can reach it."""
    if shutil.which("setcap") is None:
        pytest.skip("setcap is not installed (Debian: libcap2-bin)")
    [flags] = re.findall(r"setcap (\S+)", DOCKERFILE)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder, "nft")
        shutil.copy(shutil.which("nft"), copy)
        subprocess.run(["setcap", flags, copy], check=True, timeout=20)
        yield copy


@pytest.mark.netns
@pytest.mark.parametrize(
    ("user", "capabilities", "escalation", "works"),
    [
        (NOBODY, {NET_ADMIN}, True, True),
        (NOBODY, {NET_ADMIN}, False, False),
        (0, {NET_ADMIN}, False, True),
        (0, {NET_ADMIN}, True, True),
        (1500, set(), True, False),
        (0, set(), True, False),
    ],
    ids=[
        "not root", "not root, no escalation", "root, no escalation", "root",
        "the sidecar's user, without the capability", "root, without the capability",
    ],
)  # fmt: skip
def test_the_images_nft_changes_rules_where_a_container_may(
    nft, user, capabilities, escalation, works
):
    rights = [str(user), " ".join(map(str, capabilities)), str(escalation)]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_CONTAINER, *rights, nft, "add", "table", "inet", "t"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) is works, done.stderr
    assert works or "not permitted" in done.stderr
