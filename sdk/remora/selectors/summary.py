"""The table of a run's results, for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from remora.cli.figures import clipped, money, plural, seconds, tokens, visible
from remora.selectors.findings import Findings, ModelResult
from remora.selectors.ranking import ranked

_ERROR_CHARACTERS = 200
_ERRORS_SHOWN = 5
_PLAIN_COLUMNS = 200


def print_summary(results: Findings) -> None:
    """Print to standard output, as wide as the terminal is."""
    _print(results, Console())


def summary_text(results: Findings) -> str:
    """Give what is printed as text."""
    console = Console(width=_PLAIN_COLUMNS, no_color=True)
    with console.capture() as captured:
        _print(results, console)
    return captured.get()


def _print(results: Findings, console: Console) -> None:
    console.print(_table(results))
    for line in _notes(results):
        console.print(Text(line))


def _table(results: Findings) -> Table:
    weighed = any(result.combined_objective is not None for result in results)
    table = Table("", "combination", box=None, header_style="bold", pad_edge=False)
    for heading in (*(["objective"] if weighed else []), "accuracy", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    for heading in ("failed", "latency", "tokens in", "out", "price"):
        table.add_column(heading, justify="right")
    for result in ranked(results.results):
        objective = [_objective(result)] if weighed else []
        table.add_row(*[Text(cell) for cell in (*_name(result), *objective, *_figures(result))])
    return table


def _name(result: ModelResult) -> tuple[str, str]:
    return "*" if result.is_best else "", visible(result.model_name)


def _objective(result: ModelResult) -> str:
    return "" if result.combined_objective is None else f"{result.combined_objective:.4f}"


def _figures(result: ModelResult) -> Iterator[str]:
    low, high = result.confidence_interval
    yield f"{result.accuracy:.2%}"
    yield f"{low:.1%} to {high:.1%}"
    yield str(result.num_samples)
    yield str(result.failures or "")
    yield seconds(result.latency_seconds)
    yield tokens(result.total_input_tokens)
    yield tokens(result.total_output_tokens)
    yield "unknown" if result.price is None else money(result.price)


def _notes(results: Findings) -> Iterator[str]:
    best = results.get_best()
    yield (
        "no combination is best: none was evaluated with success"
        if best is None
        else (f"* best: {visible(best.model_name)}")
    )
    cost = results.selection_cost
    evaluations = sum(result.num_samples for result in results)
    yield (
        f"{plural(evaluations, 'evaluation')} in {seconds(results.selection_wall_time_seconds)}, "
        f"{'cost unknown' if cost is None else money(cost)}"
    )
    if results.stopped is not None:
        yield f"stopped early: {results.stopped}"
    if unknown := sorted({why for result in results for why in result.unknown}):
        yield f"prices are unknown where: {', '.join(map(visible, unknown))}"
    yield from _failures(results)


def _failures(results: Findings) -> Iterator[str]:
    """Say the first failure of each combination, of the first few."""
    failed = [result for result in ranked(results.results) if result.failures]
    for result in failed[:_ERRORS_SHOWN]:
        error = next(e.error for e in result.datapoint_results if e.error is not None)
        name = visible(result.model_name)
        yield f"{name}: {result.failures} of {result.num_samples} failed; the first: " + clipped(
            visible(error), _ERROR_CHARACTERS
        )
    if len(failed) > _ERRORS_SHOWN:
        yield f"… and {plural(len(failed) - _ERRORS_SHOWN, 'combination')} more with failures"
