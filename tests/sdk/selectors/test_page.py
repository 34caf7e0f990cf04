"""The page of selectors says what there is, and its table is what the bench writes."""

import inspect
import re
from pathlib import Path

import pytest
from bench.score_tables import TITLES, find_scores
from bench.selectors import CONTESTANTS, WAYS, Score, as_markdown

from remora.selectors import ModelSelector, SelectionResults
from remora.selectors.arm_elimination import ArmElimination
from remora.selectors.matrix_ucb import MatrixUCB

PAGE = (Path(__file__).parents[3] / "docs" / "selectors.md").read_text()


def options_of(made):
    parameters = inspect.signature(made).parameters.values()
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]


@pytest.mark.parametrize(
    "name",
    [
        *options_of(ArmElimination),
        *options_of(MatrixUCB),
        *options_of(ModelSelector),
        *["model_prices", "tracker", "lambda_cost", "lambda_latency"],
    ],
)
def test_every_option_stands_on_the_page(name):
    assert re.search(rf"`{name}\b", PAGE)


@pytest.mark.parametrize(
    "name", [name for name in vars(SelectionResults) if not name.startswith("_")]
)
def test_everything_that_results_have_stands_on_the_page(name):
    assert name in PAGE


def test_the_table_has_a_row_for_each_selector_benchmark_and_way():
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \| .* \|$", PAGE, re.MULTILINE)
    wanted = [(title, one.title) for title in TITLES.values() for one in CONTESTANTS]

    assert [row for row in rows if row[0] in TITLES.values()] == wanted * len(WAYS)


def test_a_row_of_the_table():
    score = Score(found=0.958, accuracy=0.74, best_accuracy=0.7475, evaluations=666.2, saved=0.24)
    text = as_markdown([("dropped", [("GPQA", "standard error", score)])], 50)

    assert "50 orders" in text
    assert text.endswith("| GPQA | standard error | 95.8% | 74.00% | 74.75% | 666 | 24.0% |")


def test_score_tables_are_looked_for_where_the_corpus_is_named(tmp_path):
    scores = tmp_path / "corpus" / "scores"
    scores.mkdir(parents=True)
    for name in TITLES:
        (scores / f"{name}.csv.gz").touch()
    (tmp_path / "corpus" / "transcripts").mkdir()

    for named in ("corpus", "corpus/transcripts", "corpus/scores"):
        assert find_scores(str(tmp_path / named), tmp_path) == scores
    assert find_scores(str(tmp_path), tmp_path) is None
