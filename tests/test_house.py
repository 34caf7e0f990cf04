"""Guards of the house: what must hold everywhere, and what no linter looks at."""

import ast
import os
import re
import stat
import subprocess
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = {
    "remora_proto": ROOT / "proto/remora_proto",
    "remora": ROOT / "sdk/remora",
    "remora_sidecar": ROOT / "sidecar/remora_sidecar",
    "remora_aggregator": ROOT / "aggregator/remora_aggregator",
    "remora_operator": ROOT / "operator/remora_operator",
}
ROOMS = {
    "remora": [
        "api_client",
        "cli",
        "client",
        "feedback",
        "learning",
        "outcomes",
        "local_sidecar",
        "policy",
        "providers",
        "selectors",
        "tasks",
        "testing",
        "tracker",
        "workflows",
    ],
    "remora_sidecar": [
        "cache",
        "commands",
        "control",
        "dialects",
        "engine",
        "interceptor",
        "model",
        "netinit",
        "openai_api",
        "policy",
        "signals",
        "spool",
        "tasks",
        "workflows",
    ],
    "remora_aggregator": ["service", "signals", "store", "tasks", "web"],
    "remora_operator": [
        "ca",
        "cluster",
        "custody",
        "delivery",
        "diagnosis",
        "inject",
        "policies",
        "webhook",
    ],
}
GROUPS = ["remora.commands", "console_scripts"]
FILE_LINES = 500
FUNCTION_LINES = 60


def is_generated(path: Path) -> bool:
    return path.stem.endswith(("_pb2", "_pb2_grpc"))


def written_files() -> list[Path]:
    """All Python files that people wrote, tests and benchmarks included."""
    folders = [*PARTS.values(), ROOT / "tests", ROOT / "bench"]
    files = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if ".work" not in path.parts  # what a bench installed for itself
    ]
    return [path for path in files if not is_generated(path)]


def shipped_files() -> list[Path]:
    return [path for path in written_files() if any(path.is_relative_to(p) for p in PARTS.values())]


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def functions(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.end_lineno is not None
    ]


@pytest.mark.parametrize("folder", ["proto", "sdk", "sidecar", "aggregator", "operator"])
def test_no_top_level_folder_is_a_package(folder):
    """An `operator` package here would shadow Python's own module of that name."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_python_starts_in_the_root_folder():
    subprocess.run(["python3", "-c", "import operator, collections"], cwd=ROOT, check=True)


def test_no_folder_of_tests_is_a_package():
    assert named(list((ROOT / "tests").rglob("__init__.py"))) == []


def test_no_file_is_too_long():
    too_long = [p for p in shipped_files() if len(p.read_text().splitlines()) > FILE_LINES]
    assert named(too_long) == []


def test_no_function_is_too_long():
    found = [function for path in shipped_files() for function in functions(path)]
    assert [name for name, lines in found if lines > FUNCTION_LINES] == []


def test_the_median_function_is_short():
    lines = sorted(lines for path in shipped_files() for _, lines in functions(path))
    assert lines[len(lines) // 2] <= 8


@pytest.mark.parametrize(
    ("part", "room"),
    [(part, room) for part, rooms in ROOMS.items() for room in rooms],
    ids=lambda value: value,
)
def test_every_room_stands(part, room):
    assert (PARTS[part] / room / "__init__.py").is_file()


def test_every_module_says_why_it_exists():
    silent = [
        path for path in shipped_files() if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert named(silent) == []


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert named([path for path in written_files() if path.stem in drawers]) == []


def test_nothing_is_left_to_do_later():
    marks = ("TODO", "FIXME", "XXX")
    me = Path(__file__)
    left = [
        path
        for path in written_files()
        if path != me and any(mark in path.read_text() for mark in marks)
    ]
    assert named(left) == []


def ours(group: str) -> list[EntryPoint]:
    return [e for e in entry_points(group=group) if e.dist and e.dist.name == "remora"]


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {**project["scripts"], **project["entry-points"]["remora.commands"]}


def test_the_installed_commands_are_those_of_the_project_file():
    """Else the environment is older than the file: run `make clean` or bootstrap.sh."""
    installed = {entry.name: entry.value for group in GROUPS for entry in ours(group)}

    assert installed == declared()


@pytest.mark.parametrize("group", GROUPS)
def test_every_entry_point_loads(group):
    loaded = [entry.load() for entry in ours(group)]

    assert loaded
    assert all(callable(command) for command in loaded)


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    [phony] = [line for line in makefile.splitlines() if line.startswith(".PHONY:")]
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)

    listed = {line.split()[0] for line in said.stdout.splitlines() if line.strip()}
    assert set(phony.split()[1:]) <= listed


@pytest.mark.parametrize("script", [".ci/run", "bootstrap.sh"])
def test_scripts_can_be_run(script):
    assert os.stat(ROOT / script).st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_the_ci_script_fails_if_either_half_fails(tmp_path):
    """Runs the script in a tree whose Makefile is known to fail one half."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_bytes((ROOT / ".ci/run").read_bytes())
    outcomes = {}
    for test, check in [("true", "true"), ("false", "true"), ("true", "false")]:
        (tmp_path / "Makefile").write_text(
            f"test:\n\t@echo closing lines; {test}\ncheck:\n\t@{check}\n"
        )
        ended = subprocess.run(
            ["bash", tmp_path / ".ci/run"],
            capture_output=True,
            text=True,
            env=with_every_tool(tmp_path / "bin"),
        )
        outcomes[test, check] = ended.returncode
        assert "closing lines" in ended.stdout

    assert outcomes == {("true", "true"): 0, ("false", "true"): 1, ("true", "false"): 1}


def with_every_tool(folder: Path) -> dict[str, str]:
    """An environment in which the script finds all it needs, and no trace of an outer make."""
    folder.mkdir(exist_ok=True)
    tools = ("git", "curl", "node", "nft", "ip", "ps", "setpriv", "openssl", "redis-server")
    tools += ("pg_ctlcluster",)
    tools += ("gnutls-cli", "go", "javac")
    for tool in tools:
        (folder / tool).touch(mode=0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return kept | {"PATH": f"{os.environ['PATH']}:{folder}"}


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_generated_code_runs_with_the_oldest_versions_that_may_be_installed():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lowest = dict(re.findall(r"^(\w+)>=([\d.]+)", "\n".join(dependencies), re.MULTILINE))
    grpc = (ROOT / "proto/remora_proto/v1/records_pb2_grpc.py").read_text()
    messages = (ROOT / "proto/remora_proto/v1/records_pb2.py").read_text()

    assert lowest["grpcio"] == re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", grpc)[1]
    assert lowest["protobuf"] == re.search(r"Protobuf Python Version: ([\d.]+)", messages)[1]
