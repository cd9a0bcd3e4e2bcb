"""Alembic runs this: migrations happen on the connection and in the transaction of whoever asked for them."""

from alembic import context

from posrecon.disputes.models import Base

config = context.config
context.configure(
    connection=config.attributes["connection"],
    version_table=config.attributes["version_table"],
    target_metadata=Base.metadata,
)
with context.begin_transaction():
    context.run_migrations()
