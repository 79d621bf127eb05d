"""The command `meshscribe`: which commands there are, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from collector.commands.access import access, looks
from collector.commands.calls import calls
from collector.commands.config import config
from collector.commands.dead_letters import dead_letters
from collector.commands.decode import decode
from collector.commands.derive import marks, recount
from collector.commands.exits import Exit, code
from collector.commands.export import export
from collector.commands.kafka import kafka
from collector.commands.ledger import ledger
from collector.commands.login import login
from collector.commands.operate import demo, migrate, serve
from collector.commands.query import query
from collector.commands.relays import relays
from collector.commands.replay import replay
from collector.commands.retention import retention
from collector.commands.services import services
from collector.commands.show import show
from collector.commands.tail import tail
from collector.commands.tokens import VARIABLE as TOKEN
from collector.commands.usage import usage
from collector.commands.verify import verify
from collector.errors import MeshscribeError, SettingsError

EPILOG = """Exit codes: 0 it worked · 1 it worked and the answer is no (nothing found, something lost, check failed) ·
2 wrong options, settings or input · 3 the audit API does not answer · 4 it does not let you ·
70 a fault of the machine or of this program."""

LEVEL = "MESHSCRIBE_LOG__LEVEL"


class Commands(TyperGroup):
    """Ends a command that fails as expected with its message and code, without a traceback."""

    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            for fault in error.faults:
                typer.echo(fault, err=True)
            raise typer.Exit(code(error)) from None
        except MeshscribeError as error:
            typer.echo(f"meshscribe: {error}", err=True)
            raise typer.Exit(code(error)) from None
        except BrokenPipeError:  # the reader, `head` perhaps, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:  # whatever it is, people get a sentence
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):  # the command line's own ways to end
                raise
            raise _unexpected(error) from None


def _unexpected(error: Exception) -> typer.Exit:
    """Says what and where in one sentence; the traceback is for who asks for it."""
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        what = f"{type(error).__name__}: {error}"
    typer.echo(f"meshscribe: cannot go on: {what}", err=True)
    if os.environ.get(LEVEL, "").lower() == "debug":
        import traceback

        traceback.print_exception(error)
    else:
        typer.echo(f"({LEVEL}=debug shows where in the program)", err=True)
    return typer.Exit(Exit.FAULT)


app = typer.Typer(
    cls=Commands,
    name="meshscribe",
    help="The audit log and the meter of AI inference on a service mesh.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="Run")(serve)
app.command(rich_help_panel="Run")(migrate)
app.command(rich_help_panel="Run")(retention)
app.command(rich_help_panel="Run")(demo)
app.command(rich_help_panel="Look")(query)
app.command(rich_help_panel="Look")(show)
app.command(rich_help_panel="Look")(tail)
app.command(rich_help_panel="Look")(export)
app.command(rich_help_panel="Look")(calls)
app.command(rich_help_panel="Look")(services)
app.command(rich_help_panel="Look")(ledger)
app.command(rich_help_panel="Look")(usage)
app.command(rich_help_panel="Look")(looks)
app.command(rich_help_panel="Look")(decode)
app.command(rich_help_panel="Look")(verify)
app.command(rich_help_panel="Look")(relays)
app.command(rich_help_panel="Look")(login)
app.add_typer(access, name="access", rich_help_panel="Run")
app.add_typer(config, name="config", rich_help_panel="Run")
app.add_typer(kafka, name="kafka", rich_help_panel="Run")
app.command(rich_help_panel="Mend")(replay)
app.command(rich_help_panel="Mend")(recount)
app.command(rich_help_panel="Mend")(marks)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="Mend")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"meshscribe {version('meshscribe')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")] = False,  # noqa: ARG001
    token: Annotated[
        str | None,
        typer.Option("--token", help="Who you are, to the audit API; better as the variable MESHSCRIBE_TOKEN, or with `meshscribe login`."),
    ] = None,
) -> None:
    """The audit log and the meter of AI inference on a service mesh."""
    if token is not None:
        os.environ[TOKEN] = token  # one way in for both


def main() -> None:
    """The entry point of the command."""
    app()
