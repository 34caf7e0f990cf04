"""The double as a process of its own."""

import http.client
import os
import ssl
import sys
from pathlib import Path

from remora.testing.server_process import ServerProcess


def test_the_command_serves_tls_under_its_names_and_says_where(tmp_path: Path):
    ca_file = tmp_path / "ca.pem"
    command = [sys.executable, "-P", "-m", "remora.testing.double_command", "--ready-json"]
    command += ["--tls-name", "localhost", "--ca-out", str(ca_file)]
    with ServerProcess("the double", command, os.environ, tmp_path / "log") as double:
        host, _, port = double.ready["address"].rpartition(":")
        assert host == "127.0.0.1"
        context = ssl.create_default_context(cafile=str(ca_file))
        connection = http.client.HTTPSConnection("localhost", int(port), context=context)
        connection.request("GET", "/bytes/1000")
        assert len(connection.getresponse().read()) == 1000
        connection.close()
        assert double.stop() == 0
