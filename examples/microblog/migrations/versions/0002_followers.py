"""Who follows whom."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "follow",
        sa.Column("follower_id", sa.Integer, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("followed_id", sa.Integer, sa.ForeignKey("account.id"), primary_key=True),
    )
    op.create_index("follow_of_followed", "follow", ["followed_id"])


def downgrade() -> None:
    op.drop_table("follow")
