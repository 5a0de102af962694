"""`hermes db …`: the ledger's tables, and source tables for trying things out."""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.output import open_gateway, say, text
from app.db.migrate import index_script, ledger_script, source_script, upgrade
from app.db.source import create_source_tables
from app.demo.show import offer_samples

app = typer.Typer(help="Create and upgrade tables, or print the DDL for a DBA.", no_args_is_help=True)


class Dialect(StrEnum):
    """Databases whose DDL can be printed."""

    MSSQL = "mssql"
    SQLITE = "sqlite"


@app.command("upgrade", epilog="Example: hermes db upgrade")
def upgrade_ledger() -> None:
    """Create the ledger (tables hermes_...) in the configured database, or bring it to this version."""
    gateway = open_gateway(quiet=True)
    upgrade(gateway.engine)
    say(text("ledger_current"))


@app.command("create-source", epilog="Example: hermes db create-source")
def create_source() -> None:
    """Create the six source tables where there are none: for the demo and for tests.

    Refused on a database that has some of them; does nothing where all are complete.
    """
    gateway = open_gateway(quiet=True)
    created = create_source_tables(gateway.engine)
    say(text("source_created", tables=", ".join(created)) if created else text("source_complete"))


@app.command("create-samples", epilog="Example: hermes db create-samples --documents 600")
def create_samples(
    documents: Annotated[int, typer.Option(min=3, help="How many, shared among the kinds.")] = 600,
) -> None:
    """Fill empty source tables with sample documents, about one in 15 of them defective: for trying things out.

    Refused where API_BASE_URL is not a simulated partner; does nothing where there are documents already.
    """
    created = offer_samples(open_gateway(quiet=True), documents)
    say(text("demo_seeded", documents=documents) if created else text("samples_not_needed"))


@app.command("script", epilog="Example: hermes db script --dialect mssql > ledger.sql")
def script(
    dialect: Annotated[Dialect, typer.Option(help="For which database.")] = Dialect.MSSQL,
    source: Annotated[bool, typer.Option("--source", help="The source tables instead of the ledger.")] = False,
    indexes: Annotated[
        bool, typer.Option("--indexes", help="Only the indexes that the source tables should have.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="Upgrade a ledger of this version; unset: there is none yet.")
    ] = None,
) -> None:
    """Print the DDL instead of running it."""
    if indexes:
        script = index_script(dialect)
    elif source:
        script = source_script(dialect)
    else:
        script = ledger_script(dialect, start)
    typer.echo(script, nl=False)
