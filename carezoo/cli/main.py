"""The door: commands are imported when called, errors become one line and an exit code."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from carezoo.cli.progress import REPORT, trace
from carezoo.errors import CarezooError, InputError, bug
from carezoo.version import __version__

COMMANDS = {
    "restore": ("carezoo.cli.restore", "Restore image files with a model."),
    "show": ("carezoo.cli.show", "Show an image, its restoration, and what the model is unsure of."),
    "evaluate": ("carezoo.cli.evaluate", "Score a model on pairs it has not seen, beside classical methods."),
    "simulate": (
        "carezoo.cli.simulate",
        "Make training pairs without acquiring any; fit the noise of a camera.",
    ),
    "train": ("carezoo.cli.train", "Train a model from a recipe and pack it."),
    "adapt": ("carezoo.cli.train", "Train a model a little further, on noisy images of your own."),
    "convert": ("carezoo.cli.convert", "Make a package of a model that CSBDeep trained."),
    "check": ("carezoo.cli.zoo", "Check that a package does what it says."),
    "info": ("carezoo.cli.zoo", "Tell what a package is."),
    "list": ("carezoo.cli.zoo", "List models: those that ship, those pulled, those of other zoos."),
    "suggest": ("carezoo.cli.zoo", "Rank models by how well an image fits them."),
    "pull": ("carezoo.cli.zoo", "Bring a model of a zoo or of bioimage.io onto this machine."),
    "remove": ("carezoo.cli.zoo", "Delete a model that was pulled."),
    "outdated": ("carezoo.cli.zoo", "List models here of which there is a newer version."),
    "publish": ("carezoo.cli.publish", "Put a package into a zoo."),
    "site": ("carezoo.cli.publish", "Make the web pages of a zoo."),
    "fiji": ("carezoo.cli.fiji", "Use carezoo inside Fiji or ImageJ."),
    "knime": ("carezoo.cli.knime", "Use carezoo inside KNIME."),
    "demo": ("carezoo.cli.doctor", "Restore a real image with a model that ships, and score it."),
    "doctor": ("carezoo.cli.doctor", "Say what is installed, what runs, and what is wrong."),
}
"""Home and one line of help of every command."""

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


class _Lazy(click.Group):
    """A group that knows its commands' names and imports them when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS)
            ctx.fail(f"No such command '{args[0]}'." + (f" Did you mean {' or '.join(near)}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="carezoo %(version)s")
def cli() -> None:
    """Content-aware restoration (CARE) of fluorescence microscopy images."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done; 1 a bug; 2 input; 3 package; 4 zoo; 5 restoration; 6 training; 7 missing extra; 130 stopped.
    """
    exit_code = run(arguments)
    bridge = sys.modules.get("carezoo_fiji.leaving")
    if bridge is not None:  # Java may run in this process: it may then not end in the ordinary way
        bridge.leave(exit_code)
    sys.exit(exit_code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # What tifffile says of a damaged file is said better by the error that follows.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        result = cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; no half-written file is left", err=True)
        return STOPPED
    except CarezooError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk, a network drive, a permission: no bug of ours
        trace(error)
        named = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        click.echo(f"error: {named + ': ' if named else ''}{error.strerror or error}", err=True)
        return InputError.exit_code
    except Exception as error:  # a bug: told in two lines, with the way to more
        trace(error)
        click.echo(f"error: {bug(error)}. {REPORT}", err=True)
        return 1
    return result if isinstance(result, int) else 0
