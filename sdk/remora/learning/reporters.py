"""No reporter decides alone: how much of an arm's evidence may come from one.

One user who rejects everything, or a script that does, would else move everybody's calls. Many
made-up reporters are not stopped by this.
"""

from collections.abc import Mapping

from remora.learning.series import Series, merged


def limited(by_reporter: Mapping[str, Series], share: float) -> Series:
    """Add the evidence of all reporters, of those with the most only as much as the limit says.

    Args:
        by_reporter: Each one's evidence about an arm; under the empty name what is nobody's,
            which is not limited.
        share: The most that one's evidence counts, as a share of what all sent. Of fewer
            reporters than fill the whole with such shares each may count for an equal part, so
            a single one is not limited.
    """
    factors = _factors({name: s.total.weight for name, s in by_reporter.items()}, share)
    return merged(
        series if factors.get(name, 1.0) >= 1 else series.scaled(factors[name])
        for name, series in by_reporter.items()
    )


def _factors(weights: Mapping[str, float], share: float) -> dict[str, float]:
    """Say what each one's evidence is multiplied with."""
    named = {name: weight for name, weight in weights.items() if name and weight > 0}
    parts = len(named) + (weights.get("", 0.0) > 0)
    if parts <= 1:
        return {}
    most = max(share, 1 / parts) * sum(weights.values())
    return {name: min(1.0, most / weight) for name, weight in named.items()}
