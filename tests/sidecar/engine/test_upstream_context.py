"""Whose certificates the engine takes from providers."""

import ssl

import pytest

from remora.testing.loose_root import ROOT_FILE, shake_hands, write_loose_certificates
from remora_sidecar.engine.upstream import upstream_context


async def test_an_extra_root_is_taken_as_the_agents_own_client_would(tmp_path):
    write_loose_certificates(tmp_path)
    await shake_hands(tmp_path, upstream_context(tmp_path / ROOT_FILE))


async def test_without_it_its_servers_are_strangers(tmp_path):
    write_loose_certificates(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(tmp_path, upstream_context(None))
