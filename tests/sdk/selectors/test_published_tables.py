"""Selectors over published score tables: what they find and save, without asking a model."""

import os
from pathlib import Path

import pytest
from bench.score_tables import find_scores
from bench.selectors import BETTING, BRUTE_FORCE, PUBLISHED, UCB, benchmarks_of, contest

BENCHMARKS = ["GPQA", "BFCL", "HotpotQA", "MathQA"]


@pytest.fixture(scope="module")
def tables():
    folder = find_scores(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
    if folder is None:
        pytest.skip("no score tables: set REMORA_CORPUS to the folder with scores/")
    return {
        way: {benchmark.title: benchmark for benchmark in benchmarks_of(folder, way)}
        for way in ("dropped", "counted as wrong")
    }


@pytest.mark.parametrize(
    ("title", "cells", "best", "cost_usd"),
    [
        ("GPQA", 1782, 0.7475, 4.71),
        ("BFCL", 1800, 0.70, 84.80),
        ("HotpotQA", 16168, 0.7427, 51.90),
        ("MathQA", 14961, 0.9884, 123.87),
    ],
)
def test_brute_force_finds_what_was_published(tables, title, cells, best, cost_usd):
    benchmark = tables["dropped"][title]
    found = contest(BRUTE_FORCE, benchmark, range(1))

    assert (found.found, found.evaluations, found.saved) == (1.0, cells, 0.0)
    assert found.best_accuracy == pytest.approx(best, abs=5e-5)
    assert benchmark.cost_usd == pytest.approx(cost_usd, abs=5e-3)


@pytest.mark.parametrize(
    ("title", "saved", "found", "evaluations"),
    [
        ("GPQA", 0.24, 0.94, 666),
        ("BFCL", 0.12, 0.98, 912),
        ("HotpotQA", 0.66, 0.92, 4283),
        ("MathQA", 0.58, 0.84, 3356),
    ],
)
def test_the_published_rule_saves_what_was_published(tables, title, saved, found, evaluations):
    score = contest(PUBLISHED, tables["dropped"][title], range(1000))

    assert score.saved == pytest.approx(saved, abs=0.02)
    assert score.found == pytest.approx(found, abs=0.06)
    assert score.evaluations == pytest.approx(evaluations, rel=0.06)


@pytest.mark.parametrize(
    ("title", "saved", "found"),
    [("GPQA", 0.28, 0.95), ("BFCL", 0.44, 1.0), ("HotpotQA", 0.67, 1.0), ("MathQA", 0.43, 0.95)],
)
def test_matrix_ucb_saves_what_was_published(tables, title, saved, found):
    """With 200 orders each of the smaller tables; the others need fewer, and take longer."""
    orders = 200 if title in ("GPQA", "BFCL") else 20
    score = contest(UCB, tables["dropped"][title], range(orders))

    assert score.saved == pytest.approx(saved, abs=0.04)
    assert score.found == pytest.approx(found, abs=0.1)


@pytest.mark.parametrize("way", ["dropped", "counted as wrong"])
@pytest.mark.parametrize(
    ("title", "saved"), [("GPQA", 0.12), ("BFCL", 0.08), ("HotpotQA", 0.54), ("MathQA", 0.2)]
)
def test_the_default_finds_the_best_and_saves(tables, title, saved, way):
    score = contest(BETTING, tables[way][title], range(20))

    assert score.found >= 0.95
    assert score.saved >= saved


def test_missing_cells_decide_who_is_best(tables):
    dropped, wrong = (contest(BRUTE_FORCE, tables[way]["MathQA"], range(1)) for way in tables)

    assert dropped.best_accuracy == pytest.approx(0.9884, abs=5e-5)
    assert wrong.best_accuracy == pytest.approx(0.945, abs=5e-5)
