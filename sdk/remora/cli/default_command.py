"""A group of commands of which one is meant where none is named."""

from typing import Any

import click


class WithDefault(click.Group):
    """Runs its default command with what does not begin with a command's name."""

    def __init__(self, *args: Any, default: str, **kwargs: Any) -> None:
        """Name the default command; the rest is a group's."""
        super().__init__(*args, **kwargs)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name before what is for it."""
        first = args[0] if args else ""
        is_named = first in (*self.commands, *ctx.help_option_names)
        if not is_named and not ctx.resilient_parsing:  # which is how shells complete
            args = [self._default, *args]
        return super().parse_args(ctx, args)
