"""The command's frame: its groups, and how errors end it.

Exit codes: 0 done; 1 the answer is no (a check or proof failed, nothing matched); 2 wrong usage, input or
configuration; 3 something needed is not there (database, broker, log store).
"""

import sys
from typing import Annotated

import typer

from app import __version__
from app.cli import database, documents, lists, operate, replays, run, tokens, users
from app.cli.output import fail
from app.domain.errors import ConfigError, InfrastructureError, InputError

app = typer.Typer(
    name="hermes",
    help="Hermes sends goods receipts, goods issues and sales invoices from the company's database to the partner.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
run.register(app)
documents.register(app)
lists.register(app)
operate.register(app)
app.add_typer(replays.app, name="replay")
app.add_typer(database.app, name="db")
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        app()
    except (ConfigError, InputError) as error:
        fail(str(error), code=2)
    except InfrastructureError as error:
        fail(str(error), code=3)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
