"""Routers that a session names: which there are, and that none breaks a call."""

import json
import sys
from pathlib import Path

import pytest

from remora.errors import BadRequest, ConfigError
from remora.routing import RouteContext
from remora_sidecar.engine.named_routers import NamedRouter, NamedRouters, load_policy_modules

MODULE = """
from dataclasses import dataclass
from json import JSONDecoder


@dataclass
class Fixed:
    target: str

    def route(self, ctx):
        return self.target


class Refuses:
    def __init__(self):
        raise RuntimeError("not today")

    def route(self, ctx):
        return None


class NoRouter:
    pass


def route(ctx):
    return "a function is no class"
"""
CONTEXT = RouteContext({"model": "gpt-4o"}, "openai", "gpt-4o", None)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    file = tmp_path / "json.py"  # the name of one of Python's own
    file.write_text(MODULE)
    return file


async def test_a_router_of_ours_is_made_by_its_alias():
    router = NamedRouters().make("random", {"candidates": ["a"], "seed": None})

    assert (await router.ask(CONTEXT)).model == "a"


async def test_a_class_of_a_file_is_made_by_the_files_stem(module):
    router = NamedRouters(modules=load_policy_modules([module])).make(
        "json:Fixed", {"target": "mini"}
    )

    assert (await router.ask(CONTEXT)).model == "mini"
    assert sys.modules["json"] is json  # the file stands in nobody's way


@pytest.mark.parametrize(
    "policy",
    [
        "no_such_policy", "", ":", "json:", ":Fixed", "json:Missing", "json:NoRouter", "json:route",
        "json:Fixed:", "json:__builtins__", "json:JSONDecoder", "json:Fixed.route",
        "remora.routers:RandomRouter", "os:system", "remora_policy_module_json:Fixed",
        "/etc/passwd:Fixed",
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_unknown_and_imports_nothing(module, policy):
    routers = NamedRouters(modules=load_policy_modules([module]))
    before = set(sys.modules)

    with pytest.raises(BadRequest, match="Unknown routing policy") as raised:
        routers.make(policy, {})

    assert raised.value.status == 400
    assert "'random', 'json:Fixed', 'json:Refuses'" in str(raised.value)
    assert set(sys.modules) == before


def test_a_module_that_could_be_imported_is_not(tmp_path, monkeypatch):
    (tmp_path / "lying_about.py").write_text("raise AssertionError('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(BadRequest, match="Unknown routing policy"):
        NamedRouters().make("lying_about:Router", {})


@pytest.mark.parametrize(
    ("policy", "kwargs"),
    [
        pytest.param("random", {}, id="one is missing"),
        pytest.param("random", {"candidates": ["a"], "more": 1}, id="one too many"),
        pytest.param("random", {"candidates": []}, id="an empty list"),
        pytest.param("random", {"candidates": 5}, id="a number"),
        pytest.param("json:Fixed", {"model": "a"}, id="another name"),
        pytest.param("json:Refuses", {}, id="a constructor that raises"),
    ],
)
def test_arguments_that_make_no_router_are_a_bad_request(module, policy, kwargs):
    routers = NamedRouters(modules=load_policy_modules([module]))

    with pytest.raises(BadRequest, match="can't be made of these kwargs"):
        routers.make(policy, kwargs)


class Says:
    """Answers what it was told to."""

    def __init__(self, answer):
        """Take the answer; an exception is raised."""
        self.answer, self.seen = answer, []

    def route(self, ctx):
        self.seen.append(ctx)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        pytest.param(None, "left the call as it was", id="none"),
        pytest.param(RuntimeError("sk-secret"), "failed (RuntimeError)", id="an exception"),
        pytest.param({"model": "mini"}, "answered with what is no model", id="no text"),
        pytest.param("", "answered with what is no model", id="an empty text"),
    ],
)
async def test_a_router_that_names_no_model_leaves_the_call_and_is_noted(answer, note):
    advice = await NamedRouter(Says(answer)).ask(CONTEXT)

    assert advice.model is None
    assert note in advice.note
    assert "sk-secret" not in advice.note


async def test_a_body_that_is_left_out_is_not_told():
    router = Says("mini")

    assert (await NamedRouter(router).ask(CONTEXT, has_body=False)).model == "mini"
    assert dict(router.seen[0].request_body) == {}


def test_every_file_that_can_not_be_used_is_named(tmp_path, module):
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/json.py").write_text("")
    files = [tmp_path / "gone.py", tmp_path / "broken.py", module, tmp_path / "other/json.py"]

    with pytest.raises(ConfigError) as raised:
        load_policy_modules(files)

    said = [problem.what for problem in raised.value.problems]
    assert len(said) == 3
    assert "gone.py does not exist" in said[0]
    assert "broken.py can't be run: ModuleNotFoundError" in said[1]
    assert "other/json.py another file of this name was given" in said[2]
    assert "remora_policy_module_broken" not in sys.modules
