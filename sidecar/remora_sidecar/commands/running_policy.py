"""What `remora policy show` without a file asks: the policy that the local sidecar has in force."""

from collections.abc import Mapping

from remora.local_sidecar.addresses import read_addresses
from remora.local_sidecar.control import ControlClient
from remora_sidecar.data_directory import ADMIN_TOKEN_FILE, read_token
from remora_sidecar.settings import format_address, read_settings


def running_policy() -> Mapping[str, object]:
    """Ask the sidecar that these settings lead to.

    Raises:
        ConfigError: Settings or the token of admin calls can't be read.
        Unavailable: No sidecar answers, or it refuses.
    """
    settings = read_settings()
    found = read_addresses(settings.data_dir)
    address = format_address(settings.control_listen) if found is None else found.control
    with ControlClient(address) as control:
        control.status()
        token = read_token(settings.admin_token_file or settings.data_dir / ADMIN_TOKEN_FILE)
        return control.read_policy(token)
