"""People, their tokens, regions of work, and leases."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from bigimage.store.tables import Big, Id

revision = "0002"
down_revision = "0001"


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "person",
        *(_column("name", sa.Text()), _column("role", sa.Text()), _column("created", Big)),
        sa.PrimaryKeyConstraint("name"),
        comment="People and their roles",
    )
    op.create_table(
        "token",
        *(_column("digest", sa.LargeBinary(32)), _column("person", sa.Text()), _column("created", Big)),
        *(_column("expires", Big, nullable=True), sa.PrimaryKeyConstraint("digest")),
        comment="SHA-256 of the tokens that people show, and until when they hold",
    )
    op.create_index("token_person", "token", ["person"])
    op.create_table(
        "region",
        *(_column("id", Id()), _column("image", sa.Text()), _column("place", sa.Integer())),
        *(_column("name", sa.Text()), _column("box", sa.Text()), _column("area", sa.LargeBinary(), nullable=True)),
        *(_column("state", sa.Text()), _column("assignee", sa.Text(), nullable=True)),
        *(_column("version", sa.Integer()), _column("created", Big), _column("modified", Big)),
        sa.PrimaryKeyConstraint("id"),
        comment="Regions of images as units of work",
    )
    op.create_index("region_image", "region", ["image", "place"])
    op.create_table(
        "lease",
        *(_column("name", sa.Text()), _column("holder", sa.Text()), _column("fence", Big), _column("expires", Big)),
        sa.PrimaryKeyConstraint("name"),
        comment="Who may write what, until when (microseconds since 1970, UTC)",
    )
