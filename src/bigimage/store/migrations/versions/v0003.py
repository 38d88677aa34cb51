"""The log of regions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from bigimage.store.tables import Big, Id

revision = "0003"
down_revision = "0002"


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Make the table, and fill in what older versions kept: when a region was made, and its latest step."""
    op.create_table(
        "region_step",
        *(_column("region", Id()), _column("version", sa.Integer()), _column("image", sa.Text())),
        *(_column("name", sa.Text()), _column("kind", sa.Text()), _column("author", sa.Text(), nullable=True)),
        *(_column("time", Big), sa.PrimaryKeyConstraint("region", "version")),
        comment="The log of regions: every step of the work, of removed regions too; without an author where none was"
        " kept",
    )
    op.create_index("region_step_image", "region_step", ["image", "time"])
    into = "INSERT INTO region_step (region, version, image, name, kind, author, time) SELECT id"
    op.execute(f"{into}, 1, image, name, 'made', NULL, created FROM region")
    kind = "CASE state WHEN 'open' THEN 'released' ELSE state END"
    op.execute(f"{into}, version, image, name, {kind}, assignee, modified FROM region WHERE version > 1")
