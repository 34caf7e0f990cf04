"""The container image and the compose file say what the parts and the design say."""

import ast
import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from remora.client.settings import ClientSettings
from remora.trust import agent_environment
from remora_aggregator.command import command as aggregator_command
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.settings import read_settings as read_aggregator_settings
from remora_sidecar.netinit.ruleset import RedirectSettings
from remora_sidecar.netinit.settings import NetworkSettings
from remora_sidecar.settings import SidecarSettings

HOUSE = Path(__file__).parent.parent
DOCKERFILE = (HOUSE / "Dockerfile").read_text()
COMPOSE = YAML(typ="safe").load(HOUSE / "compose.yaml")
SERVICES = COMPOSE["services"]
TRUST = "/run/remora/trust"
KEYS = "/run/remora/keys"


def _mounts(service):
    """Where each volume of a service is mounted, and whether it may write there."""
    parts = [mount.split(":") for mount in SERVICES[service].get("volumes", [])]
    return {volume: (place, flags != ["ro"]) for volume, place, *flags in parts}


def _variables(model):
    prefix = model.model_config["env_prefix"]
    return {f"{prefix}{field}".upper() for field in model.model_fields}


def _mounted_in(volume):
    return {service for service in SERVICES if volume in _mounts(service)}


SETTINGS = {
    "sidecar": (SidecarSettings, NetworkSettings),
    "netinit": (NetworkSettings,),
    "aggregator": (AggregatorSettings,),
    "remora": (ClientSettings,),
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_exists(service):
    known = set().union(*map(_variables, SETTINGS.get(service, ())))
    given = {name for name in SERVICES[service].get("environment", {}) if "REMORA" in name}
    assert given <= known


def test_the_aggregator_takes_its_settings_with_the_files_that_init_makes(monkeypatch, tmp_path):
    init, *arguments = [word.replace(KEYS, str(tmp_path)) for word in SERVICES["init"]["command"]]
    made = CliRunner().invoke(aggregator_command, arguments)
    assert (init, made.exit_code) == ("aggregator", 0), made.output
    for name, value in SERVICES["aggregator"]["environment"].items():
        monkeypatch.setenv(name, value.replace(KEYS, str(tmp_path)))
    assert read_aggregator_settings().listen == "0.0.0.0:15090"
    client = SERVICES["remora"]["environment"]
    for name in ("REMORA_AGGREGATOR_CA", "REMORA_AGGREGATOR_TOKEN_FILE"):
        assert Path(client[name].replace(KEYS, str(tmp_path))).is_file()


@pytest.mark.parametrize("service", [name for name in SERVICES if "command" in SERVICES[name]])
def test_a_service_runs_a_command_that_exists(service):
    entrypoint, first = SERVICES[service].get("entrypoint"), SERVICES[service]["command"][0]
    if entrypoint is None:
        assert first in {entry.name for entry in entry_points(group="remora.commands")}
    else:
        module = entrypoint[-1].removeprefix("remora.testing.")
        assert list((HOUSE / "sdk/remora/testing").glob(f"{module}*.py"))


def test_the_agent_is_given_the_trust_folder_and_nothing_else():
    assert _mounts("agent") == {"trust": (TRUST, False)}


def test_the_agents_environment_is_what_every_agent_needs():
    plan = agent_environment(PurePosixPath(TRUST), None, {})
    assert SERVICES["agent"]["environment"] == plan.added


def test_the_agent_shares_the_sidecars_network_under_another_uid_once_the_rules_stand():
    agent, netinit = SERVICES["agent"], SERVICES["netinit"]
    assert agent["network_mode"] == netinit["network_mode"] == "service:sidecar"
    assert agent["user"] != f"{RedirectSettings().sidecar_uid}:{RedirectSettings().sidecar_uid}"
    assert agent["depends_on"]["netinit"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize(
    ("volume", "services"),
    [
        ("sidecar-data", {"sidecar"}),
        ("aggregator-data", {"aggregator"}),
        ("aggregator-server", {"init", "aggregator"}),
        ("aggregator-client", {"init", "sidecar", "remora"}),
        ("trust", {"sidecar", "agent"}),
    ],
)
def test_a_volume_is_mounted_only_where_it_is_needed(volume, services):
    assert _mounted_in(volume) == services


def test_only_netinit_may_change_the_network_and_nothing_else_of_root():
    assert {name: s["cap_add"] for name, s in SERVICES.items() if "cap_add" in s} == {
        "netinit": ["NET_ADMIN"]
    }
    assert all(service["cap_drop"] == ["ALL"] for service in SERVICES.values())
    assert {name for name, s in SERVICES.items() if s.get("user", "").startswith("0")} == {
        "netinit"
    }


def test_every_volume_has_a_folder_of_the_right_owner_in_the_image():
    places = {place for service in SERVICES for place, _ in _mounts(service).values()}
    assert {volume for service in SERVICES for volume in _mounts(service)} == set(
        COMPOSE["volumes"]
    )
    for place in places:
        assert re.search(rf"\s{re.escape(place)}\s", DOCKERFILE), place


def _checked_programs():
    for service in SERVICES.values():
        test = service.get("healthcheck", {}).get("test", [])
        if "-c" in test:
            yield test[-1]


def test_the_programs_of_health_checks_can_be_read():
    programs = list(_checked_programs())
    assert len(programs) == 3
    for program in programs:
        ast.parse(program)


def test_compose_reads_the_file():
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    done = subprocess.run(
        ["docker-compose", "-f", str(HOUSE / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = YAML(typ="safe").load(done.stdout)
    assert set(read["services"]) >= set(SERVICES) - {"remora"}


def test_the_image_runs_the_sidecar_as_the_user_that_is_not_redirected():
    uid = RedirectSettings().sidecar_uid
    assert f"useradd --uid {uid} " in DOCKERFILE
    assert f"\nUSER {uid}:{uid}\n" in DOCKERFILE
    assert "PYTHONSAFEPATH=1" in DOCKERFILE
    assert "\nARG BASE_IMAGE=python:3.13-slim\n" in DOCKERFILE


def test_the_image_is_built_from_every_package_and_nothing_else_of_the_folder():
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    folders = {package.partition("/")[0] for package in packages}
    copied = set(re.findall(r"^COPY (\S+) \1$", DOCKERFILE, flags=re.MULTILINE))
    sent = {
        line.removeprefix("!")
        for line in (HOUSE / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied == folders
    assert sent == folders | {"pyproject.toml", "README.md"}
