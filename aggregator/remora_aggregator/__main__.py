"""`python -m remora_aggregator`: the same as `remora aggregator`."""

from remora_aggregator.command import command

if __name__ == "__main__":
    command()
