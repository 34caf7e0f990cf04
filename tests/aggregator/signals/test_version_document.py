"""Router versions are read as they were written, to the last digit."""

from hypothesis import given
from hypothesis import strategies as st

from remora.learning.arms import Arm
from remora.learning.beta import Beta
from remora.learning.change import Shift
from remora.learning.counts import Counts
from remora.learning.scores import ArmScore, GoalScores
from remora.learning.settings import LearningSettings
from remora.learning.versions import RouterVersion
from remora_aggregator.signals.version_document import (
    read_settings,
    read_version,
    written_settings,
    written_version,
)

NUMBERS = st.floats(0, 1e9, allow_subnormal=False) | st.integers(0, 10**9)
WORDS = st.text(max_size=8)
COUNTS = st.builds(Counts, st.integers(-(10**12), 10**12), st.integers(0, 10**12))
SHARES = st.floats(0, 1) | st.integers(0, 1)
SETTINGS = st.builds(
    LearningSettings,
    exploration_rate=SHARES,
    min_samples=st.floats(0, 1e6) | st.integers(0, 10**6),
    half_life_ms=st.none() | st.integers(1, 10**9),
)
SCORES = st.builds(
    ArmScore,
    arm=st.builds(
        Arm,
        WORDS,
        WORDS,
        st.dictionaries(WORDS, st.none() | st.booleans() | st.integers() | NUMBERS | WORDS),
    ),
    posterior=st.builds(Beta, NUMBERS, NUMBERS),
    samples=NUMBERS,
    cost_usd=st.none() | NUMBERS,
    latency_ms=st.none() | NUMBERS,
    is_stale=st.booleans(),
    shift=st.none() | st.builds(Shift, st.integers(0, 10**15), COUNTS, COUNTS),
)
GOALS = st.builds(GoalScores, WORDS, st.lists(SCORES, max_size=3).map(tuple), SETTINGS)
VERSIONS = st.builds(
    RouterVersion,
    st.integers(1, 10**6),
    st.integers(0, 10**15),
    st.dictionaries(WORDS, GOALS, max_size=3),
    WORDS,
)


@given(VERSIONS)
def test_a_version_is_read_as_it_was_written(version):
    read = read_version(written_version(version))
    assert read == version
    assert read.digest == version.digest


@given(SETTINGS)
def test_settings_are_read_as_they_were_written(settings):
    read = read_settings(written_settings(settings))
    assert read == settings
    assert repr(read) == repr(settings)
