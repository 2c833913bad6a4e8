"""Accounts and posts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(256), nullable=False),
        sa.Column("about", sa.String(200), nullable=False, server_default=""),
        sa.Column("created", sa.DateTime, nullable=False),
    )
    op.create_table(
        "post",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("author_id", sa.Integer, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("text", sa.String(280), nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
    )
    op.create_index("post_of_author", "post", ["author_id", "id"])


def downgrade() -> None:
    op.drop_table("post")
    op.drop_table("account")
