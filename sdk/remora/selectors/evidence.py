"""Evidence that one combination is better than another, by betting. Pure mathematics.

Whoever doubts that A is better than B on the whole data set says: the sum of A's advantages
over all datapoints is at most 0. Then, drawing datapoints at random without putting them back,
the next advantage is on average at most ``-S / left``, where S is the sum of those drawn and
``left`` the number of the others. A gambler who stakes a share of the fortune on more than
that, again and again, can't expect to gain: the fortune is a supermartingale, and by Ville's
inequality it ever exceeds 1/p with probability p at most. So a large fortune is evidence,
whenever one looks.

The test is that of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (2020), for sampling without replacement; the stakes are a mixture of fixed shares.
"""

import numpy as np
from numpy.typing import NDArray

_SHARES = np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.9])
"""Of the most that may be staked; equal parts of the fortune are played by each."""

_LEAST = 1e-9


def fortunes(advantages: NDArray[np.float64], population: int) -> NDArray[np.float64]:
    """Play against the doubt that advantages sum to at most 0 over the whole population.

    Args:
        advantages: Along the last axis, in the order in which they were drawn; each in
            [-1, 1]. NaN is passed over.
        population: How many there are, those not drawn included.

    Returns:
        The fortune after each draw, in the shape of the advantages; it begins at 1.
    """
    drawn = np.nan_to_num(advantages)
    before = np.cumsum(drawn, axis=-1) - drawn
    left = population - np.arange(drawn.shape[-1])
    highest_mean = -before / left
    # The least advantage is -1: it loses at most all of a stake of 1 / (1 + highest_mean).
    per_stake = (drawn - highest_mean) / np.maximum(1.0 + highest_mean, _LEAST)
    per_stake = np.where(np.isnan(advantages), 0.0, np.maximum(per_stake, -1.0))
    gains = np.log1p(_SHARES * per_stake[..., np.newaxis])
    with np.errstate(over="ignore"):
        fortune: NDArray[np.float64] = np.exp(np.cumsum(gains, axis=-2)).mean(axis=-1)
    return fortune
