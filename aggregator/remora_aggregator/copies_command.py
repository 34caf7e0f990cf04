"""`remora aggregator backup`, `check` and `restore`: copies of an embedded store."""

import sys
from pathlib import Path
from typing import Never

import click

from remora.errors import ConfigError, Problem

_FOLDER = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Default: REMORA_AGGREGATOR_DATA_DIR."
)


@click.command()
@click.argument("copy", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@_FOLDER
def backup(*, copy: Path, force: bool, data_dir: Path | None) -> None:
    """Copy the store to the file COPY, while the aggregator goes on.

    A store in PostgreSQL is copied by PostgreSQL's own means (pg_dump, base backups).
    """
    from rich.console import Console
    from rich.progress import Progress

    from remora_aggregator.store.sqlite.copies import back_up

    try:
        if copy.exists() and not force:
            raise ConfigError([Problem(str(copy), "is there already; --force replaces it")])
        with Progress(console=Console(stderr=True), transient=True) as shown:
            bar = shown.add_task("copying")

            def progress(left: int, whole: int) -> None:
                shown.update(bar, total=whole, completed=whole - left)

            back_up(_store(data_dir), copy, progress)
    except ConfigError as error:
        _fail("backup", error)
    click.echo(f"{copy}: {copy.stat().st_size:,} bytes, looked over and whole", err=True)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_FOLDER
def check(*, file: Path | None, data_dir: Path | None) -> None:
    """Look the store, or the copy FILE, over; exit with 1 if it is damaged."""
    from remora_aggregator.store.sqlite.copies import damage

    try:
        path = file or _store(data_dir)
        found = damage(path)
    except ConfigError as error:
        _fail("check", error)
    if found:
        click.echo(f"{path} is damaged; restore it from a backup:\n{found}", err=True)
        sys.exit(1)
    click.echo(f"{path}: whole", err=True)


@click.command()
@click.argument("copy", type=click.Path(path_type=Path))
@_FOLDER
def restore(*, copy: Path, data_dir: Path | None) -> None:
    """Put the file COPY in the place of the store; the aggregator must not run.

    What was there is kept beside it. Sidecars deliver again what they still have and the copy
    lacks; what they were told is stored since the copy was made is lost.
    """
    from remora_aggregator.server import locked
    from remora_aggregator.store.sqlite.copies import put_back

    try:
        store = _store(data_dir)
        with locked(store.parent):
            put_back(copy, store)
    except ConfigError as error:
        _fail("restore", error)
    click.echo(f"{store}: restored from {copy}", err=True)


def _store(data_dir: Path | None) -> Path:
    from remora_aggregator.server import STORE_FILE
    from remora_aggregator.settings import read_settings

    return (data_dir or read_settings().data_dir) / STORE_FILE


def _fail(command: str, error: ConfigError) -> Never:
    problems = "\n".join(f"  {problem}" for problem in error.problems)
    click.echo(f"remora aggregator {command}:\n{problems}", err=True)
    sys.exit(2)
