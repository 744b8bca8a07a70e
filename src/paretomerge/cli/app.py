"""The application: its verbs, and how every error becomes one message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from paretomerge.cli import (
    check,
    choose,
    demo,
    diagnose,
    export,
    finetune,
    fit,
    front,
    init,
    ledger,
    merge,
    plan,
    report,
    runs,
    verify,
)
from paretomerge.cli.progress import choose_mode
from paretomerge.cli.resources import machine_error
from paretomerge.cli.speaking import log_to_stderr, to_front
from paretomerge.cli.spoken_warnings import spoken_warnings
from paretomerge.errors import ParetomergeError

INTERRUPTED = 130

# Newer typers carry a click of their own, so its exceptions are found through names that typer itself exports.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="paretomerge",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Pareto fronts of multitask finetuning, estimated from single-task finetunes.\n\n"
    "Start with:  paretomerge demo",
)

for verb in (
    demo,
    init,
    check,
    plan,
    merge,
    fit,
    front,
    diagnose,
    choose,
    export,
    finetune,
    verify,
    report,
    ledger,
    runs,
):
    name = verb.__name__.rsplit(".", 1)[-1]
    app.command(name, epilog=f"Example:  {verb.EXAMPLE}")(verb.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"paretomerge {version('paretomerge')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress; results and warnings only. Of every verb.")
    ] = False,
    progress: Annotated[
        str | None,
        typer.Option(
            "--progress",
            metavar="MODE",
            help="Progress on standard error: auto, bar, lines, json (a JSON object per line) or off; also by the "
            "variable PARETOMERGE_PROGRESS. Of every verb.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say which stages begin and end. Of every verb.")] = False,
) -> None:
    """Root of all verbs."""
    choose_mode(progress, quiet)
    log_to_stderr(verbose)


def _interrupted() -> int:
    print("interrupted; the same command continues where it stopped", file=sys.stderr)
    return INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 (failure), 2 (bad input) or 130 (interrupted)."""
    try:
        given = to_front(sys.argv[1:] if arguments is None else arguments)
        with spoken_warnings():
            code = int(app(args=given, prog_name="paretomerge", standalone_mode=False) or 0)
        # Newer typers return this code for an interrupt, older ones raise.
        return _interrupted() if code == INTERRUPTED else code
    except _UsageError as error:
        error.show(sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except ParetomergeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("PARETOMERGE_DEBUG"):
            raise
        if (said := machine_error(error)) is not None:
            print(f"error: {said}", file=sys.stderr)
            return 1
        print(
            f"error: unexpected {type(error).__name__}: {error}\n"
            "This is a bug in paretomerge; PARETOMERGE_DEBUG=1 shows where it happened.",
            file=sys.stderr,
        )
        return 1
