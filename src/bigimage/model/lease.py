"""Leases: the right to write something that several processes could write, for a while."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write something, and until when."""

    name: str
    """What is written, such as `labels/IMAGE/LAYER`."""
    holder: str
    """Who writes it: a name that no other process has."""
    fence: int
    """Larger than that of every earlier lease of the name: tells a late writer from the present one."""
    expires: datetime
    """UTC, by the clock of the database."""
