"""What can be made of results: a table, a file, a configuration, a policy, a picture."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from ruamel.yaml import YAML

from remora.policy import load_documents
from remora.selectors import DatapointResult, ModelResult, SelectionResults
from remora.selectors.interval import confidence_interval
from remora.selectors.pareto import pareto_front
from remora.selectors.ranking import best_of


def result(models, scores, **changes):
    """Make a result whose evaluations took 2 s and $0.25 each."""
    made = ModelResult(
        model_name=" + ".join(f"{node}={model}" for node, model in models.items()),
        models=models,
        accuracy=sum(scores) / len(scores),
        latency_seconds=2.0,
        input_tokens=dict.fromkeys(models.values(), 100),
        output_tokens=dict.fromkeys(models.values(), 10),
        datapoint_results=tuple(
            DatapointResult(number, score, 2.0, price=Decimal("0.25"))
            for number, score in enumerate(scores)
        ),
    )
    return replace(made, **changes)


def unpriced(models, scores, **changes):
    made = result(models, scores, **changes)
    without = tuple(replace(one, price=None) for one in made.datapoint_results)
    return replace(made, datapoint_results=without, unknown=("no price of b",))


PLAN_A = {"planner": "gpt-4o", "solver": "claude-sonnet-4-5"}
PLAN_B = {"planner": "gpt-4o", "solver": "b"}
RESULTS = SelectionResults(
    [result(PLAN_A, [1, 1, 0, 1], is_best=True), unpriced(PLAN_B, [1, 0, 0, 0])],
    selection_wall_time_seconds=12.5,
)


def test_results_are_asked_for():
    best = RESULTS.get_best()

    assert best is RESULTS.results[0] is RESULTS.get_best("combination")
    assert RESULTS.get_best("other") is None
    assert RESULTS.get_best_combo() == PLAN_A
    assert RESULTS.get_by_attribute("combination") == list(RESULTS)
    assert len(RESULTS) == 2
    assert (best.num_samples, best.failures, best.price) == (4, 0, Decimal("0.25"))
    assert (best.total_input_tokens, best.total_output_tokens) == (200, 20)
    assert str(best).startswith(
        "planner=gpt-4o + solver=claude-sonnet-4-5 (accuracy: 75.00%, latency: 2.00s, tokens: {"
    )
    assert str(best).endswith("price: $0.25)")


def test_the_summary_shows_all_and_the_best_first(capsys):
    RESULTS.print_summary()
    printed = capsys.readouterr().out
    text = str(RESULTS)
    lines = text.splitlines()

    assert lines[1].split() == [
        *["*", "planner=gpt-4o", "+", "solver=claude-sonnet-4-5", "75.00%", "30.1%", "to"],
        *["95.4%", "4", "2.00s", "200", "20", "$0.25"],
    ]
    assert "unknown" in lines[2]
    assert "* best: planner=gpt-4o + solver=claude-sonnet-4-5" in text
    assert "prices are unknown where: no price of b" in text
    assert "best: planner=gpt-4o" in printed


def test_the_summary_ranks_by_the_objective():
    a = result({"n": "a"}, [1, 1], combined_objective=0.1)
    b = result({"n": "b"}, [1, 0], combined_objective=0.4, is_best=True)

    lines = str(SelectionResults([a, b])).splitlines()

    assert "objective" in lines[0]
    assert ["n=b" in lines[1], "n=a" in lines[2]] == [True, True]
    assert "0.4000" in lines[1]


def test_names_do_nothing_to_the_terminal():
    text = str(SelectionResults([result({"n": "a\x1b[2J[bold]"}, [1], is_best=True)]))

    assert "\x1b" not in text
    assert "[bold]" in text


def test_a_csv_file_has_the_known_columns(tmp_path):
    RESULTS.to_csv(tmp_path / "all.csv")

    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "model_name",
        "accuracy",
        "latency_seconds",
        "input_tokens",
        "output_tokens",
        "price",
        "attribute",
        "is_best",
    ]
    assert rows[0]["price"] == "0.25"
    assert json.loads(rows[0]["input_tokens"]) == {"gpt-4o": 100, "claude-sonnet-4-5": 100}
    assert [row["is_best"] for row in rows] == ["True", "False"]
    assert rows[1]["price"] == ""


def test_a_configuration_for_litellm(tmp_path):
    text = RESULTS.export_config(tmp_path / "c.yaml", api_key_env_vars={"anthropic": "CLAUDE_KEY"})

    assert (tmp_path / "c.yaml").read_text() == text
    assert YAML(typ="safe").load(text) == {
        "model_list": [
            {
                "model_name": "claude-sonnet-4-5",
                "litellm_params": {
                    "model": "anthropic/claude-sonnet-4-5",
                    "api_key": "os.environ/CLAUDE_KEY",
                },
            },
            {
                "model_name": "gpt-4o",
                "litellm_params": {
                    "model": "openai/gpt-4o",
                    "api_key": "os.environ/OPENAI_API_KEY",
                },
            },
        ]
    }
    assert "# planner: gpt-4o" in text


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("groq/llama-3", {"model": "groq/llama-3", "api_key": "os.environ/GROQ_API_KEY"}),
        ("o3-mini", {"model": "openai/o3-mini", "api_key": "os.environ/OPENAI_API_KEY"}),
        ("gemini-3", {"model": "gemini/gemini-3", "api_key": "os.environ/GEMINI_API_KEY"}),
        ("llama-3", {"model": "llama-3"}),
    ],
)
def test_litellm_is_told_a_models_provider(model, params):
    text = SelectionResults([result({"n": model}, [1], is_best=True)]).export_config()

    assert YAML(typ="safe").load(text)["model_list"][0]["litellm_params"] == params


@pytest.mark.parametrize("match_by", ["agent_id", "model"])
def test_a_policy_routes_each_node_to_its_model(tmp_path, match_by):
    path = tmp_path / "policy.yaml"
    text = RESULTS.export_config(path, format="llmpolicy", name="winner", match_by=match_by)

    [policy] = load_documents({"p": text}).policies
    routes = policy.spec.routes
    assert policy.metadata.name == "winner"
    assert [route.name for route in routes] == ["1-planner", "2-solver"]
    assert [route.router.candidates[0].model for route in routes] == list(PLAN_A.values())
    asked = [(list(map(str, route.match.models)), route.match.condition) for route in routes]
    assert asked == (
        [(["planner"], None), (["solver"], None)]
        if match_by == "model"
        else [([], 'session.agent_id == "planner"'), ([], 'session.agent_id == "solver"')]
    )
    done = subprocess.run(
        [sys.executable, "-m", "remora", "policy", "validate", path],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "1 file: no problem\n")


@pytest.mark.parametrize(
    "node", ['say "x"', "back\\slash", "line\nend", "Ümläut 模", "日本", "-", "*"], ids=ascii
)
def test_a_node_may_have_any_name(node):
    text = SelectionResults([result({node: "m"}, [1], is_best=True)]).export_config(
        format="llmpolicy"
    )

    [policy] = load_documents({"p": text}).policies
    condition = policy.spec.routes[0].match.condition
    from remora.policy.condition import Condition

    holds = Condition.compile(condition).holds
    session = {"id": "", "data_id": "", "combo_id": ""}
    assert holds({"session": {**session, "agent_id": node}})
    assert not holds({"session": {**session, "agent_id": "other"}})


def test_what_a_policy_can_not_say_is_said():
    spaced = SelectionResults([result({"n": "Claude Opus"}, [1], is_best=True)])
    pattern = SelectionResults([result({"n*": "m"}, [1], is_best=True)])

    with pytest.raises(ValueError, match="can't be written as a policy"):
        spaced.export_config(format="llmpolicy")
    with pytest.raises(ValueError, match=r"can't name the node 'n\*'"):
        pattern.export_config(format="llmpolicy", match_by="model")


@pytest.mark.parametrize(
    "options",
    [
        {"format": "toml"},
        {"format": "llmpolicy", "match_by": "luck"},
        {"format": "llmpolicy", "colour": "red"},
        {"format": "llmpolicy", "api_key_env_vars": {"a": "b"}},
        {"name": "x"},
    ],
    ids=str,
)
def test_other_formats_and_options_are_refused(options):
    with pytest.raises(ValueError, match=r"format is|match_by is"):
        RESULTS.export_config(**options)


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    RESULTS.plot_pareto(tmp_path / "p.png")
    RESULTS.plot_pareto(tmp_path / "p.svg")

    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "1 of unknown price left out" in (tmp_path / "p.svg").read_text()


def test_the_front_has_those_that_none_excels():
    slow = result({"n": "slow"}, [1, 1], latency_seconds=9.0)
    fast = result({"n": "fast"}, [1, 0], latency_seconds=1.0)
    excelled = result({"n": "excelled"}, [1, 0], latency_seconds=3.0)

    front = pareto_front([excelled, slow, fast], lambda one: one.latency_seconds)

    assert front == [fast, slow]


@pytest.mark.parametrize(
    ("scores", "interval"),
    [
        ([1] * 10, (0.7225, 1.0)),
        ([0] * 10, (0.0, 0.2775)),
        ([1] * 5 + [0] * 5, (0.2366, 0.7634)),
        ([0.5], (0.0546, 0.9454)),
        ([-1.0, 1.0], (-1.96, 1.96)),
        ([3.0], (-math.inf, math.inf)),
        ([], (-math.inf, math.inf)),
    ],
    ids=str,
)
def test_intervals(scores, interval):
    assert confidence_interval(scores) == pytest.approx(interval, abs=1e-3)


def test_equals_are_told_apart_by_latency_then_by_price():
    slow = result({"n": "slow"}, [1, 0], latency_seconds=3.0)
    unknown = unpriced({"n": "unknown"}, [1, 0])
    known = result({"n": "known"}, [1, 0])

    assert best_of([slow, unknown, known]) is known
    assert best_of([slow, unknown]) is unknown
    assert best_of([]) is None


def without(module, code):
    program = f"import sys; sys.modules[{module!r}] = None\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1]


def test_a_missing_numpy_is_said():
    assert without("numpy", "import remora.selectors") == (
        "ImportError: remora.selectors needs numpy: install it with pip install 'remora[selectors]'"
    )


def test_a_missing_matplotlib_is_said():
    code = "from remora.selectors import SelectionResults; SelectionResults([]).plot_pareto('x')"

    assert without("matplotlib.figure", code) == (
        "ImportError: plot_pareto needs matplotlib: install it with pip install 'remora[plot]'"
    )


def test_remora_itself_stays_light():
    code = "import sys, remora; print('numpy' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_importing_selectors_loads_no_matplotlib_and_no_tracker():
    code = (
        "import sys, remora.selectors\n"
        "print([m for m in ('matplotlib', 'remora.tracker.tracker') if m in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
