"""What SQLite's planner is told about the ledger. By itself it looks at no data: it takes whatever an index finds by
its first column for ten rows, and would read all deliveries of a kind to find a batch of them by code.

The figures are those of a chain with a million deliveries; only their proportions matter. `ANALYZE` replaces them by
what a database really has. SQL Server keeps statistics of its own.
"""

from sqlalchemy import Connection, text

_KEEP_AND_LOAD = text("ANALYZE sqlite_schema")
"""Makes the table that they are kept in, where it is not there, and loads what it says."""

_ROWS = 1_000_000
_A_KIND = _ROWS // 3
_ROWS_PER_KEY = {
    # How many rows share the first column's value, the first two columns' values, …
    "sqlite_autoindex_hermes_delivery_1": (_A_KIND, 1),
    "ix_hermes_delivery_due": (_A_KIND, 3),
    "ix_hermes_delivery_state": (_A_KIND, 50_000, 2, 1),
    "ix_hermes_delivery_facility": (500, 5),
    "ix_hermes_delivery_date": (_A_KIND, 1000, 1),
}


def inform_planner(connection: Connection) -> None:
    """Tell SQLite what to expect, unless it knows already. Other connections that are open do not learn of it."""
    if connection.dialect.name != "sqlite":
        return
    connection.execute(_KEEP_AND_LOAD)
    table = "hermes_delivery"
    if connection.scalar(text("SELECT count(*) FROM sqlite_stat1 WHERE tbl = :table"), {"table": table}):
        return
    told = [
        {"table": table, "index": index, "stat": " ".join(map(str, (_ROWS, *rows)))}
        for index, rows in _ROWS_PER_KEY.items()
    ]
    connection.execute(text("INSERT INTO sqlite_stat1 VALUES (:table, :index, :stat)"), told)
    connection.execute(_KEEP_AND_LOAD)
