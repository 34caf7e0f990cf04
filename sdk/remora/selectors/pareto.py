"""Draws what accuracy costs: combinations over latency and over price."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from remora.selectors.findings import Findings, ModelResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figure = Callable[[ModelResult], float]


def pareto_front(results: Sequence[ModelResult], figure: Figure) -> list[ModelResult]:
    """Give those that no other excels, cheapest first: more accuracy only for more of a figure."""
    front: list[ModelResult] = []
    for result in sorted(results, key=lambda one: (figure(one), -one.accuracy)):
        if not front or result.accuracy > front[-1].accuracy:
            front.append(result)
    return front


def plot_pareto(results: Findings, path: Path) -> None:
    """Draw two panels; combinations of unknown price are counted in the second's title."""
    try:
        from matplotlib.figure import Figure as Picture
    except ModuleNotFoundError as error:
        raise ImportError(
            "plot_pareto needs matplotlib: install it with pip install 'remora[plot]'"
        ) from error
    picture = Picture(figsize=(13, 6), layout="constrained")
    over_latency, over_price = picture.subplots(1, 2)
    priced = [result for result in results if result.price is not None]
    _draw(over_latency, list(results), lambda result: result.latency_seconds)
    over_latency.set(xlabel="mean latency, seconds", ylabel="accuracy")
    _draw(over_price, priced, lambda result: float(result.price or 0))
    unpriced = len(results) - len(priced)
    over_price.set(xlabel="mean price of an evaluation, USD", ylabel="accuracy")
    over_price.set_title(f"{unpriced} of unknown price left out" if unpriced else "")
    picture.savefig(path)


def _draw(axes: "Axes", results: Sequence[ModelResult], figure: Figure) -> None:
    front = pareto_front(results, figure)
    for result in results:
        colour = "tab:red" if result.is_best else "tab:blue" if result in front else "silver"
        axes.scatter(figure(result), result.accuracy, color=colour, zorder=2)
    axes.step(
        [figure(result) for result in front],
        [result.accuracy for result in front],
        where="post",
        color="tab:blue",
        zorder=1,
    )
    for result in front:
        axes.annotate(
            result.model_name.replace("$", r"\$"),
            (figure(result), result.accuracy),
            fontsize=7,
            xytext=(4, 4),
            textcoords="offset points",
        )
