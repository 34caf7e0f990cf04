"""Tells in the data directory where this sidecar can be reached, for `remora.local_sidecar`."""

from pathlib import Path

from remora.local_sidecar.addresses import ADDRESSES_FILE, Addresses
from remora_sidecar.atomic_file import write_atomically


def write_addresses(folder: Path, addresses: Addresses) -> None:
    """Tell where this sidecar is."""
    write_atomically(folder / ADDRESSES_FILE, addresses.text().encode(), mode=0o600)
