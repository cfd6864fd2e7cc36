"""Horizontal tracks in the channel between two rows of a drawing: few crossings, and labels that nothing runs through.

A piece is the horizontal part of an edge in one channel; its stubs lead down (to the row below) or up (to the row above).
All stubs of a channel stand at different places, so that lines cross at right angles and never run on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

FONT = 6.0  # points
LINE = 2.6  # mm of a line of text of FONT points
GAP = 1.6  # mm between what shares a track
POINT = 0.3528  # mm
BOLD = 1.12  # how much wider the first line is where the weight learns
NARROW, WIDE = set("ijl|.,:;'!()[]tfr -·"), set("mwMWΔ=+")


def text_width(text: str, points: float) -> float:
    """Width of a text in mm, rather too much than too little: no font is asked."""
    return POINT * points * sum(0.40 if c in NARROW else 0.90 if c in WIDE else 0.63 for c in text)


class Stub(NamedTuple):
    """A vertical line at x from a piece to the row above (``up``) or below; pieces of one axon share a key."""

    x: float
    up: bool
    key: str


@dataclass(frozen=True)
class Piece:
    """The horizontal part of an edge in a channel. texts: ways to break its label into lines, the best first.

    Found by ``arrange``: the track, and the text with its left end, width and height; crossed: lines that run through it.
    """

    edge: str
    stubs: tuple[Stub, ...]
    texts: tuple[tuple[str, ...], ...] = ()
    text: tuple[str, ...] = ()
    width: float = 0.0
    height: float = 0.0
    track: int = 0
    left: float = 0.0
    crossed: int = 0

    @property
    def ends(self) -> tuple[float, float]:
        """Left and right end of the line."""
        return min(s.x for s in self.stubs), max(s.x for s in self.stubs)


def arrange(pieces: Sequence[Piece], left: float, right: float) -> list[Piece]:
    """The pieces with a track (0 is the lowest) and a place for their labels between ``left`` and ``right``."""
    order = _order(list(pieces))
    placed = [_label(order, k, left, right) for k in range(len(order))]
    return _share(placed)


def crossings(pieces: Sequence[Piece]) -> int:
    """How often stubs cross lines if the pieces lie on tracks in this order, the lowest first."""
    count = 0
    for k, piece in enumerate(pieces):
        lo, hi = piece.ends
        keys = {s.key for s in piece.stubs}
        for n, other in enumerate(pieces):
            if n != k:
                count += sum(lo <= s.x <= hi and s.up == (k > n) and s.key not in keys for s in other.stubs)
    return count


def _cost(pieces: Sequence[Piece]) -> float:
    """Crossings, and a little for the length of the stubs."""
    n = len(pieces)
    length = sum((n - k if s.up else k) for k, piece in enumerate(pieces) for s in piece.stubs)
    return crossings(pieces) + 0.01 * length


def _order(pieces: list[Piece]) -> list[Piece]:
    """An order that no move of one piece improves."""
    best = _cost(pieces)
    while True:
        moves = (
            [*rest[:to], pieces[k], *rest[to:]]
            for k in range(len(pieces))
            for rest in [pieces[:k] + pieces[k + 1 :]]
            for to in range(len(pieces))
            if to != k
        )
        better = min(((_cost(move), n, move) for n, move in enumerate(moves)), default=None)
        if better is None or better[0] >= best - 1e-9:
            return pieces
        best, pieces = better[0], better[2]


def _label(pieces: list[Piece], k: int, left: float, right: float) -> Piece:
    """The piece with its label where the fewest stubs run through it, and near its line."""
    piece = pieces[k]
    lo, hi = piece.ends
    walls = [s.x for n, other in enumerate(pieces) for s in other.stubs if (s.up and n <= k) or (not s.up and n > k)]
    found = []
    for text in piece.texts:
        width = max(text_width(line, FONT) * (BOLD if line is text[0] and text[1:] else 1.0) for line in text)

        def crossed(x: float, width: float = width) -> int:
            return sum(x - 0.5 < wall < x + width + 0.5 for wall in walls)

        def far(x: float, width: float = width) -> float:
            middle = x + width / 2
            return 0.2 * max(lo - middle - 0.4 * width, middle - hi - 0.4 * width, 0) + 0.01 * abs(
                middle - (lo + hi) / 2
            )

        steps = max(int((right - left - width) / 0.5), 0)
        cost, spot = min((4 * crossed(x) + far(x), x) for x in (left + 0.5 * n for n in range(steps + 1)))
        cost += len(text) + 40 * max(left + width - right, 0)
        here = {"text": text, "width": width, "height": LINE * len(text), "left": spot, "crossed": crossed(spot)}
        found.append((cost, len(found), replace(piece, **here)))
    return min(found)[2] if found else piece


def _share(pieces: list[Piece]) -> list[Piece]:
    """Neighbours in the order share a track where their lines and labels leave room."""
    found: list[Piece] = []
    track, taken = 0, []
    for piece in pieces:
        lo, hi = piece.ends
        if piece.text:
            lo, hi = min(lo, piece.left), max(hi, piece.left + piece.width)
        if any(lo < b + GAP and a - GAP < hi for a, b in taken):
            track, taken = track + 1, []
        taken.append((lo, hi))
        found.append(replace(piece, track=track))
    return found
