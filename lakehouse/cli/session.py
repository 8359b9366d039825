"""What every command shares: where the lake is, how to speak, and what ends a command early."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.errors import ConfigError, LakehouseError, Stopped, TimedOut, nearest
from lakehouse.records import Repaired, Report, printable, silent
from lakehouse.stopping import catch_signals

if TYPE_CHECKING:
    from lakehouse.lake import Lake

__all__ = ["Doors", "Session", "Verb", "shared_options", "speak_safely", "tfmd_format"]

tfmd_format = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "pbtxt"]),
    default="text",
    help="How to write them (default: text); pbtxt is TensorFlow Metadata's, with the extra tfmd.",
)
"""The option of commands that also write TensorFlow Metadata's messages."""


@dataclass(slots=True)
class Session:
    """What the global options say."""

    configs: str = "configs"
    env: str | None = None
    lock: str | None = None
    as_json: bool = False
    quiet: bool = False

    def lake(self, report: Report = silent) -> Lake:
        """Open the lake.

        Raises:
            ConfigError: the configuration says something impossible.
            MetadataError: the ledger cannot be opened.
        """
        from lakehouse.lake import Lake  # noqa: PLC0415  # half a second that --help need not pay

        return Lake(self.configs, env=self.env, report=report, lock=self.lock)

    def repair(self, report: Report = silent) -> Repaired:
        """Make the lake's ledger whole.

        Raises:
            ConfigError: the configuration says something impossible.
        """
        from lakehouse.lake import Lake  # noqa: PLC0415  # as above

        return Lake.repair(self.configs, env=self.env, report=report)

    def fail(self, error: LakehouseError) -> int:
        """Say what went wrong on stderr; the exit status."""
        self.complain(type(error).__name__, str(error))
        return 2 if isinstance(error, ConfigError) else 1

    def complain(self, kind: str, message: str) -> None:
        """One error on stderr: ``Type: message``, or a JSON object."""
        if self.as_json:
            click.echo(json.dumps({"error": {"type": kind, "message": message}}), err=True)
            return
        lines = "\n".join(printable(line) for line in message.splitlines())
        click.echo(f"{click.style(kind, fg='red', bold=True)}: {lines}", err=True)


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        setattr(context.ensure_object(Session), str(parameter.name), value)


def shared_options(*, hidden: bool) -> list[click.Option]:
    """The global options, which may stand before or after the command."""
    environment: dict[str, Any] = {} if hidden else {"show_envvar": True}
    common: dict[str, Any] = {"expose_value": False, "callback": _set, "hidden": hidden}
    return [
        click.Option(
            ["--configs"],
            metavar="DIR",
            envvar=None if hidden else "LAKEHOUSE_CONFIGS",
            help="The folder with lakehouse.yaml (default: configs).",
            **environment,
            **common,
        ),
        click.Option(
            ["--env"],
            metavar="NAME",
            envvar=None if hidden else "LAKEHOUSE_ENV",
            help="Which of the configuration's environments to use.",
            **environment,
            **common,
        ),
        click.Option(
            ["--lock"],
            metavar="FILE",
            help="Read the versions that this file of `lakehouse pin` names; land and curate nothing.",
            **common,
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Answer in JSON, errors too.", **common),
        click.Option(
            ["--quiet", "-q"],
            is_flag=True,
            help="No progress; land, curate and run say nothing when all is well.",
            **common,
        ),
    ]


class Verb(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In a raw docstring, as ruff wants one, click's mark for "leave these lines alone" is two characters.
        self.help = (self.help or "").replace("\\b\n", "\b\n")
        self.params.extend(shared_options(hidden=True))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End with where the global options are told."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Options for all commands: lakehouse --help")


class Doors(click.Group):
    """The group: commands under headings, and lake errors as one line and an exit status."""

    sections: Sequence[tuple[str, Sequence[str]]] = ()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they do to a lake."""
        width = max(len(name) for name in self.commands)
        for heading, names in self.sections:
            with formatter.section(heading):
                room = formatter.width - width - 6
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(room)) for name in names]
                )
        del ctx

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the global options; whether errors are told in JSON is known before the first of them."""
        ctx.ensure_object(Session).as_json = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except click.ClickException as error:
            self._misused(ctx, error)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a mistyped one is told with the nearest."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"no command '{printable(args[0])}'.{nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a lake raises on purpose becomes a message and a status."""
        session = ctx.ensure_object(Session)
        catch_signals()
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            self._misused(ctx, error)
        except LakehouseError as error:
            ctx.exit(session.fail(error))
        except TimedOut as late:
            session.complain("TimedOut", f"{late}; nothing is half done, and running again goes on from here")
            ctx.exit(1)
        except Stopped as stopped:
            ctx.exit(self._stopped(session, stopped.number))
        except KeyboardInterrupt:
            ctx.exit(self._stopped(session, signal.SIGINT))

    @staticmethod
    def _misused(ctx: click.Context, error: click.ClickException) -> NoReturn:
        """Tell a usage error: as JSON where that is asked for, else as click does."""
        session = ctx.ensure_object(Session)
        if not session.as_json:
            raise error
        session.complain(type(error).__name__, error.format_message())
        ctx.exit(error.exit_code)

    @staticmethod
    def _stopped(session: Session, number: int) -> int:
        for further in (signal.SIGTERM, signal.SIGINT):
            signal.signal(further, signal.SIG_IGN)
        name = signal.Signals(number).name
        session.complain("Stopped", f"{name} came; nothing is half done, and running again goes on from here")
        return 128 + number


def speak_safely() -> None:
    """Let no name or value end a command because the terminal's encoding lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
