"""Run by Alembic: on a connection handed over by `app.db.migrate`, or printing for a dialect."""

from alembic import context

from app.db.migrate import VERSION_TABLE

attributes = context.config.attributes
if context.is_offline_mode():
    context.configure(
        dialect_name=attributes["dialect_name"],
        version_table=VERSION_TABLE,
        literal_binds=True,
        transactional_ddl=False,  # for SQL Server, `app.db.migrate` writes the transaction, with what guards it
    )
else:
    context.configure(connection=attributes["connection"], version_table=VERSION_TABLE)

with context.begin_transaction():
    context.run_migrations()
