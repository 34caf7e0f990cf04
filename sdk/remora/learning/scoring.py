"""From evidence to scores: a pure function of series, settings and the time.

Nothing is remembered between two runs, so that replicas need to share sums only, and a score can
be made again from what is kept.
"""

from collections.abc import Sequence
from itertools import pairwise

from remora.learning.arms import Arm
from remora.learning.beta import IGNORANCE, Beta, inherited
from remora.learning.change import Shift, latest_shift
from remora.learning.counts import NOTHING, Counts
from remora.learning.scores import ArmScore
from remora.learning.series import Piece, Series
from remora.learning.settings import LearningSettings
from remora.learning.spending import Spending


def score(
    arm: Arm,
    series: Series,
    settings: LearningSettings,
    now_ms: int,
    *,
    prior: Beta = IGNORANCE,
    spending: Spending | None = None,
) -> ArmScore:
    """Score an arm.

    Args:
        arm: Whose score it is.
        series: Its evidence; is packed as of now.
        settings: Of the goal.
        now_ms: In milliseconds since 1970.
        prior: What is believed of it without this evidence.
        spending: Of its calls.
    """
    series.pack(now_ms, settings.keep_ms)
    pieces = series.pieces()
    shift = latest_shift(pieces, settings.false_alarm)
    counts = _standing(pieces, shift, settings, now_ms)
    is_stale = bool(pieces) and pieces[-1].end_ms <= now_ms - settings.staleness_ms
    posterior = prior.after(counts)
    if is_stale:
        posterior = posterior.at_most(max(settings.min_samples, IGNORANCE.weight))
    spending = spending or Spending()
    return ArmScore(
        arm=arm,
        posterior=posterior,
        samples=counts.weight,
        cost_usd=spending.mean_cost_usd,
        latency_ms=spending.latency_ms(),
        is_stale=is_stale,
        shift=shift,
    )


def prior_of(
    levels: Sequence[Series], own: Series, settings: LearningSettings, now_ms: int
) -> Beta:
    """Say what is believed of an arm before its own evidence.

    Args:
        levels: The arm's evidence at the levels above, widest first (cluster, namespace): each
            with all of the next one's in it, so that these can be taken out. Who may not learn
            from other namespaces is given no cluster.
        own: The arm's own evidence, which the last of the levels has in it.
        settings: Of the goal.
        now_ms: In milliseconds since 1970.
    """
    belief = IGNORANCE
    for level, below in pairwise([*levels, own]):
        others = level.without(below)
        others.pack(now_ms, settings.keep_ms)
        pieces = others.pieces()
        shift = latest_shift(pieces, settings.false_alarm)
        counts = _standing(pieces, shift, settings, now_ms)
        belief = inherited(belief, counts, settings.prior_weight)
    return belief


def _standing(
    pieces: Sequence[Piece], shift: Shift | None, settings: LearningSettings, now_ms: int
) -> Counts:
    """Add the evidence that still stands: since the latest change, less the older it is."""
    standing = NOTHING
    for piece in pieces:
        if shift is None or piece.start_ms >= shift.at_ms:
            standing = standing.plus(_faded(piece, settings.half_life_ms, now_ms))
    # Less than nothing: a level above lacks what the one below has, which is not believed.
    return Counts(max(standing.good_millionths, 0), max(standing.bad_millionths, 0))


def _faded(piece: Piece, half_life_ms: int | None, now_ms: int) -> Counts:
    if half_life_ms is None:
        return piece.counts
    age_ms = max(now_ms - piece.end_ms, 0)
    return piece.counts.scaled(0.5 ** (age_ms / half_life_ms))
