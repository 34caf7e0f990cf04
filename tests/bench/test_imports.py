import subprocess

import pytest
from bench.imports import import_ms


def test_an_import_takes_time():
    wall_ms, cpu_ms = import_ms("import json")
    assert wall_ms > 0
    assert cpu_ms > 0


def test_a_failing_import_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        import_ms("import nothing_of_that_name")
