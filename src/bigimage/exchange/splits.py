"""Which pieces train, validate and test: whole squares or patients, with about the same part of every label. Pure."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TypeVar

from bigimage.exchange.pieces import Chip, ChipOptions, Square

SPLITS = ("train", "val", "test")
Counts = Mapping[str, int]
K = TypeVar("K", bound=Hashable)


def parts_of(options: ChipOptions) -> dict[str, float]:
    """Part of each split that gets any."""
    parts = {"train": 1 - options.val - options.test, "val": options.val, "test": options.test}
    return {k: v for k, v in parts.items() if v > 0}


def assign(squares: Mapping[K, Counts], options: ChipOptions, *, seed_text: str = "") -> dict[K, str]:
    """Split of each square, so that each split has about its part of every label and of the squares.

    The squares with most of the rarest labels choose first, each the split that lacks most of what it has. Equal ones
    come in an order that follows from the seed.
    """
    parts = parts_of(options)
    if len(parts) == 1:
        return dict.fromkeys(squares, "train")
    counts = {square: {**found, "": 1} for square, found in squares.items()}
    totals: dict[str, int] = {}
    for found in counts.values():
        for label, count in found.items():
            totals[label] = totals.get(label, 0) + count
    have = {split: dict.fromkeys(totals, 0.0) for split in parts}

    def weight(square: K) -> tuple[float, bytes]:
        share = max(count / totals[label] for label, count in counts[square].items())
        return -share, sha256(f"{options.seed}:{seed_text}:{square}".encode()).digest()

    out: dict[K, str] = {}
    for square in sorted(counts, key=weight):
        found = counts[square]

        def lack(split: str, found: Counts = found) -> float:
            due = {label: parts[split] * totals[label] for label in found}
            lacking = {label: (due[label] - have[split][label]) / due[label] for label in found}
            return sum(lacking[label] * found[label] / totals[label] for label in found)

        chosen = max(parts, key=lack)
        out[square] = chosen
        for label, count in found.items():
            have[chosen][label] += count
    return out


def without_leaks(chips: Iterable[Chip], splits: Mapping[Square, str]) -> Iterator[tuple[Chip, str]]:
    """Chips with their splits; those that reach into a square of another split are left out."""
    for chip in chips:
        own = splits[chip.square]
        if all(splits.get(square, own) == own for square in chip.squares):
            yield chip, own
