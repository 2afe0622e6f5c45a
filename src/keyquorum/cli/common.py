# SPDX-License-Identifier: Apache-2.0
"""What several commands share: the options of the table as click has them, and how a command says that it cannot."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from keyquorum.config import ConfigError, Settings
from keyquorum.config.options import GROUPS, Option
from keyquorum.config.sources import DEFAULT_FILE, Configuration, read

_FLAGS = "keyquorum.flags"
_FILE = "config"

Command = TypeVar("Command", bound=Callable[..., Any])


def fail(error: Exception, code: int = 2) -> NoReturn:
    """Say what is wrong, and end."""
    click.echo(f"keyquorum: {error}", err=True)
    sys.exit(code)


class Configured:
    """What the flags of this command line, the environment and the file say; read when it is asked for, since a
    command may need none of it. Flags of a command win over those of its group."""

    def __init__(self, flags: dict[str, Any]) -> None:
        self.flags = flags

    def configuration(self) -> Configuration:
        """Raises ConfigError."""
        return read(self.flags, os.environ, self.flags.get(_FILE))

    def settings(self) -> Settings:
        """For a command that opens what a server keeps. Ends the program if they are wrong."""
        try:
            return self.configuration().settings(serving=False)
        except ConfigError as error:
            fail(error)

    def data(self) -> Path:
        """The data directory. Ends the program if the settings are wrong."""
        directory = self.settings().data
        assert directory is not None
        return directory

    def has(self, name: str) -> bool:
        """Whether the option was given at all. Ends the program if the settings are wrong."""
        try:
            return name in self.configuration().given
        except ConfigError as error:
            fail(error)


class _Row(click.Option):
    """An option of the table, or the file's; ``heading`` is that of the help."""

    def __init__(self, heading: str, declarations: list[str], **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help has its options under the headings of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                headings.setdefault(getattr(param, "heading", "Other"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _row(heading: str, option: Option) -> _Row:
    default = option.shown_default()
    declaration = f"{option.flag}/--no-{option.name}" if option.kind.is_flag else option.flag
    return _Row(
        heading,
        [declaration, f"row_{option.name.replace('-', '_')}"],
        default=None,
        multiple=option.kind.repeated,
        metavar=None if option.kind.is_flag else option.kind.metavar,
        help=f"{option.help}  [default: {default}]" if default else option.help,
    )


def _with(rows: Iterable[tuple[str, Option]], command: Command) -> Command:
    chosen = list(rows)

    def collected(*arguments: Any, **given: Any) -> Any:
        meta = click.get_current_context().meta
        flags = {option.name: given.pop(f"row_{option.name.replace('-', '_')}") for _, option in chosen}
        flags[_FILE] = given.pop("config_file")
        inherited = meta.get(_FLAGS, {})
        meta[_FLAGS] = {**inherited, **{name: value for name, value in flags.items() if value not in (None, ())}}
        return command(*arguments, configured=Configured(meta[_FLAGS]), **given)

    collected.__doc__ = command.__doc__
    collected.__name__ = command.__name__
    params = list(getattr(command, "__click_params__", []))
    file = _Row(
        "Data",
        ["--config", "config_file"],
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        help=f"TOML file with what is not said here or in the environment.  [default: {DEFAULT_FILE}, if there]",
    )
    # click has them in the order of decorators, from below.
    rowed = [file, *(_row(heading, option) for heading, option in chosen)]
    collected.__click_params__ = [*params, *reversed(rowed)]  # type: ignore[attr-defined] # as click's decorators do
    return collected  # type: ignore[return-value] # click calls it, with what the decorators below and above add


def serve_options(command: Command) -> Command:
    """Every option of the table; the command gets ``configured``."""
    return _with(((heading, option) for heading, group in GROUPS.items() for option in group), command)


def data_options(command: Command) -> Command:
    """The options with which any command finds and opens what a server keeps; the command gets ``configured``."""
    return _with(((h, option) for h, group in GROUPS.items() for option in group if option.opens), command)
