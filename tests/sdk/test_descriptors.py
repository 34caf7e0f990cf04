"""The limit of open files."""

import json
import subprocess
import sys

import pytest

PROGRAM = (
    "import json, resource, sys; from remora.descriptors import raise_descriptor_limit; "
    "soft, hard, wanted = map(int, sys.argv[1:]); "
    "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)); "
    "said = raise_descriptor_limit(wanted); "
    "print(json.dumps([said, *resource.getrlimit(resource.RLIMIT_NOFILE)]))"
)


@pytest.mark.parametrize(
    ("soft", "wanted", "found"),
    [
        pytest.param(100, 200, [200, 200, 400], id="raised"),
        pytest.param(100, 1000, [400, 400, 400], id="as far as it goes"),
        pytest.param(300, 200, [300, 300, 400], id="never lowered"),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes(soft, wanted, found):
    argv = [sys.executable, "-P", "-c", PROGRAM, str(soft), "400", str(wanted)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert json.loads(said) == found
