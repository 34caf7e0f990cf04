import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.directives import Directives, read_directives


def control(*values):
    return read_directives([(b"Cache-Control", value) for value in values])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"no-store"], Directives(no_store=True)),
        ([b"No-Cache"], Directives(no_cache=True)),
        ([b"only-if-cached"], Directives(only_if_cached=True)),
        ([b"max-age=60"], Directives(max_age_s=60)),
        ([b"max-age=0"], Directives(max_age_s=0)),
        ([b'max-age="60"'], Directives(max_age_s=60)),
        ([b"max-age=60, no-store"], Directives(no_store=True, max_age_s=60)),
        ([b"max-age=60", b"no-cache"], Directives(no_cache=True, max_age_s=60)),
        ([b"max-age=60,max-age=5"], Directives(max_age_s=5)),
        ([b"max-age=99999999999999999999999"], Directives(max_age_s=2**31)),
        ([b"max-age"], Directives(max_age_s=0)),
        ([b"max-age=soon"], Directives(max_age_s=0)),
        ([b"max-age=-1"], Directives(max_age_s=0)),
        ([b"max-age=1.5"], Directives(max_age_s=0)),
        ([b", ,no-store,"], Directives(no_store=True)),
        ([b"private, max-stale=5, no-transform"], Directives()),
        ([b'ext="no-store, no-cache"'], Directives()),
        ([b'ext="a\\"b, no-store", no-cache'], Directives(no_cache=True)),
        ([b"x-no-store, no-storex"], Directives()),
        ([b""], Directives()),
    ],
    ids=lambda value: b" + ".join(value).decode() if isinstance(value, list) else "",
)
def test_directives_are_read_as_the_rfc_says(values, expected):
    assert control(*values) == expected


def test_pragma_counts_only_without_cache_control():
    pragma = (b"Pragma", b"no-cache")

    assert read_directives([pragma]) == Directives(no_cache=True)
    assert read_directives([pragma, (b"cache-control", b"max-age=5")]) == Directives(max_age_s=5)
    assert read_directives([]) == Directives()


@given(st.lists(st.binary()))
def test_any_bytes_are_read(values):
    control(*values)


tokens = st.from_regex(rb"\A[a-z][a-z-]{0,12}\Z").filter(
    lambda name: name not in (b"no-store", b"no-cache", b"only-if-cached", b"max-age")
)
others = st.tuples(tokens, st.sampled_from([b"", b"=1", b'="a, no-store"', b'="\\""'])).map(
    b"".join
)


@given(st.lists(others), st.lists(others), st.integers(0, 10**6), st.sampled_from([b",", b" , "]))
def test_what_is_known_is_found_among_what_is_not(before, after, age, comma):
    text = comma.join([*before, b"max-age=%d" % age, b"no-cache", *after])

    assert control(text) == Directives(no_cache=True, max_age_s=age)
