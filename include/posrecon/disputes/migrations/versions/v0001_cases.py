"""The first tables of the cases. Nothing was before them: the way back is a backup."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the one row that numbers the cases."""
    register = op.create_table(
        "case_register",
        sa.Column("register_id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("last_case_no", sa.Integer(), nullable=False),
    )
    op.bulk_insert(register, [{"register_id": 1, "last_case_no": 0}])
    op.create_table(
        "cases",
        sa.Column("case_no", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cause_kind", sa.String(16), nullable=False),
        sa.Column("cause_key", sa.String(400), nullable=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("assignee", sa.String(200)),
        sa.Column("held_by", sa.String(200)),
        sa.Column("route", sa.String(40)),
        sa.Column("submitted_on", sa.Date()),
        sa.Column("respond_by", sa.Date()),
        sa.Column("respond_clock", sa.String(80)),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("ended_on", sa.Date()),
        sa.Column("merchant_id", sa.String(80)),
        sa.Column("terminal_id", sa.String(80)),
        sa.Column("payout_id", sa.String(200)),
        sa.Column("acquirer", sa.String(40)),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("attachment_count", sa.Integer(), nullable=False),
    )
    op.create_index("ix_cases_state", "cases", ["state", "respond_by"])
    op.create_index("ix_cases_cause", "cases", ["cause_key"])
    op.create_table(
        "case_breaks",
        sa.Column("case_no", sa.Integer(), sa.ForeignKey("cases.case_no"), primary_key=True),
        sa.Column("break_id", sa.String(64), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_on", sa.Date()),
        sa.Column("status_reason", sa.Text()),
        sa.Column("added_on", sa.Date(), nullable=False),
        sa.Column("candidate_id", sa.String(64)),
        sa.Column("validation_id", sa.String(200)),
        sa.Column("rule_id", sa.String(80), nullable=False),
        sa.Column("break_type", sa.String(40), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("file_missing", sa.Boolean(), nullable=False),
        sa.Column("item_id", sa.String(200)),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("happened_on", sa.Date(), nullable=False),
        sa.Column("marked_on", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger()),
        sa.Column("currency", sa.String(3)),
        sa.Column("merchant_id", sa.String(80)),
        sa.Column("terminal_id", sa.String(80)),
        sa.Column("location", sa.Text()),
        sa.Column("txn_at", sa.DateTime(timezone=True)),
        sa.Column("acquirer", sa.String(40)),
        sa.Column("channel", sa.String(40)),
        sa.Column("payout_id", sa.String(200)),
        sa.Column("terminal_file", sa.Text()),
        sa.Column("terminal_line", sa.BigInteger()),
        sa.Column("settlement_file", sa.Text()),
        sa.Column("settlement_line", sa.BigInteger()),
        sa.Column("bank_file", sa.Text()),
        sa.Column("bank_line", sa.BigInteger()),
        sa.Column("detail", sa.Text()),
    )
    op.create_index("ix_case_breaks_break", "case_breaks", ["break_id"])
    op.create_index("ix_case_breaks_status", "case_breaks", ["status"])
    op.create_table(
        "case_events",
        sa.Column("case_no", sa.Integer(), sa.ForeignKey("cases.case_no"), primary_key=True),
        sa.Column("event_no", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("state_before", sa.String(16)),
        sa.Column("state_after", sa.String(16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
    )
    op.create_table(
        "case_attachments",
        sa.Column("case_no", sa.Integer(), sa.ForeignKey("cases.case_no"), primary_key=True),
        sa.Column("attachment_no", sa.Integer(), primary_key=True),
        sa.Column("event_no", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
    )
