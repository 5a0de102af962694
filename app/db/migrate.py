"""Creating and upgrading the ledger, and printing the DDL for a DBA who does it by hand."""

import re
from io import StringIO
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.dialects import mssql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from app.db.engine import patiently, reading, writing
from app.db.statistics import inform_planner
from app.documents import SOURCE
from app.domain.errors import HermesError, InputError, SchemaError

VERSION_TABLE = "hermes_schema_version"
DIALECTS: dict[str, type[Dialect]] = {"mssql": mssql.dialect, "sqlite": sqlite.dialect}

_ALEMBIC = Lock()
"""Alembic keeps what it works on in globals: one thread at a time."""


@patiently
def upgrade(engine: Engine) -> None:
    """Bring the ledger to this program's version; does nothing when it is there. Raises SchemaError when it is
    newer."""
    found = current_version(engine)
    if found is not None:
        _require_known(found)
    try:
        with _ALEMBIC, writing(engine) as connection:
            command.upgrade(_config(connection=connection), "head")
            inform_planner(connection)
    except (DBAPIError, HermesError):
        if current_version(engine) != latest_version():  # else another process did it in the meantime
            raise


def ledger_script(dialect: str, start: str | None = None) -> str:
    """The DDL of the ledger as `upgrade` would run it: on a database without ledger, or on one of version `start`.

    For SQL Server all of it is one transaction that takes itself back when anything fails or when the database is not
    of that version. Raises InputError when there is no such version.
    """
    known = [revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()]
    if start is not None and start not in known:
        raise InputError(f"There is no version {start} of the ledger. Versions: {', '.join(sorted(known))}.")
    output = StringIO()
    command.upgrade(_config(output, dialect_name=dialect), f"{start}:head" if start else "head", sql=True)
    return _in_one_transaction(output.getvalue(), start) if dialect == "mssql" else output.getvalue()


def source_script(dialect: str) -> str:
    """The DDL of the six source tables, as `hermes db create-source` would run it."""
    target = DIALECTS[dialect]()
    statements = []
    for table in SOURCE.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=target)).strip())
        statements += [str(CreateIndex(index).compile(dialect=target)).strip() for index in table.indexes]
    script = "".join(f"{statement};\n\n" for statement in statements)
    if dialect != "mssql":
        return script
    return f"SET XACT_ABORT ON;\nBEGIN TRANSACTION;\n\n{script}COMMIT TRANSACTION;\nGO\n"


def _in_one_transaction(script: str, start: str | None) -> str:
    """The batches for sqlcmd or Management Studio. Both go on after an error, hence the guard before each batch: what
    failed has ended the transaction, and outside of it nothing is done."""
    batches = [batch.strip() for batch in re.split(r"(?m)^GO$", script) if batch.strip()]
    opening = "SET XACT_ABORT ON;\nBEGIN TRANSACTION;\n" + _REFUSAL.format(**_expected(start))
    return "\nGO\n\n".join([opening, *(f"{GUARD}\n{batch}" for batch in [*batches, "COMMIT TRANSACTION;"]), ""])


def _expected(start: str | None) -> dict[str, str]:
    if start is None:
        return {
            "wrong": f"OBJECT_ID(N'{VERSION_TABLE}') IS NOT NULL",
            "says": "There is a ledger in this database already",
        }
    found = f"EXISTS (SELECT 1 FROM {VERSION_TABLE} WHERE version_num = '{start}')"  # noqa: S608  one of ours
    return {"wrong": f"NOT {found}", "says": f"The ledger in this database is not of version {start}"}


GUARD = "IF @@TRANCOUNT = 0 RETURN;"
_REFUSAL = """\
IF {wrong}
BEGIN
    ROLLBACK TRANSACTION;
    RAISERROR(N'{says}. Nothing was changed.', 16, 1);
END;"""


def index_script(dialect: str) -> str:
    """The DDL of the indexes that scans and loading need on the source tables."""
    target = DIALECTS[dialect]()
    indexes = [
        index for table in SOURCE.sorted_tables for index in sorted(table.indexes, key=lambda each: str(each.name))
    ]
    return "".join(f"{str(CreateIndex(index).compile(dialect=target)).strip()};\n\n" for index in indexes)


def require_current(engine: Engine) -> None:
    """Raise SchemaError when the ledger is missing or of another version than this program's."""
    found, wanted = current_version(engine), latest_version()
    if found == wanted:
        return
    if found is None:
        raise SchemaError("The ledger's tables are not in this database yet. Run: hermes db upgrade")
    _require_known(found)
    raise SchemaError(f"The ledger has version {found}, this program needs {wanted}. Run: hermes db upgrade")


def is_known(version: str) -> bool:
    """Whether a ledger's version is this program's or an older one; others are newer."""
    return version in {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}


def _require_known(found: str) -> None:
    if not is_known(found):
        raise SchemaError(f"The ledger has version {found}, which is newer than this program. Upgrade the program.")


@patiently
def current_version(engine: Engine) -> str | None:
    """The ledger's version in this database; None when it was never created."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def latest_version() -> str:
    """The version this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101  the package has migrations
    return head


def _config(output: StringIO | None = None, **attributes: object) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(attributes)
    return config
