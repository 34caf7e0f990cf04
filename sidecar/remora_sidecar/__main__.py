"""`python -m remora_sidecar`: the same as `remora sidecar`."""

from remora_sidecar.commands.sidecar import command

if __name__ == "__main__":
    command()
