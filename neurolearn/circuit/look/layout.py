"""Where everything of a sketch stands on the page, in millimetres: layers from the lowest up, a column for each signal.

Between two rows lies a channel. Every edge has a horizontal track in it, with its label above the line; an axon leaves a
cell on the right and climbs or descends to its tracks; what arrives ends below a cell (from lower layers) or on top of it
(from higher layers and from the same one). Edges over more than one layer run along a side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from neurolearn.circuit.look import tracks
from neurolearn.circuit.look.captions import LETTERS, edge_text, keys
from neurolearn.circuit.look.sketch import Edge, Node, Sketch
from neurolearn.circuit.look.tracks import Piece, Stub, text_width

WIDTHS = {"single": 85.0, "middle": 120.0, "double": 178.0}  # mm, of a column of text in most journals
RADIUS = 5.0  # of a cell body
MARGIN_LEFT, MARGIN_RIGHT = 15.0, 5.0
PITCH = (24.0, 40.0)  # of the columns: least and most
DENDRITE = 3.0  # from the cell body to where its synapses end
LANE = 2.2
KEY = (5.2, 7.0, 3.4)  # of the legend: points, mm before the words, mm of a line
HEAD = 9.5  # mm for the title


@dataclass(frozen=True)
class Box:
    """A rectangle: left, bottom, right, top."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Box) -> bool:
        """Whether the insides of two boxes meet."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


@dataclass(frozen=True)
class Glyph:
    """A cell body: the cells of a node that send one signal ("" for none). trunk: x at which its axon climbs."""

    node: str
    signal: str
    kind: str
    x: float
    y: float
    trunk: float


@dataclass
class Wire:
    """An edge: a line from the axon of each signal that it carries to where it ends, ``tip``; ``up`` if that is from below.

    joins: where a line leaves an axon that goes on.
    """

    edge: str
    lines: list[list[tuple[float, float]]]
    tip: tuple[float, float]
    up: bool
    joins: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Label:
    """Lines of text in a box. crossed: how many lines run through it, where that could not be avoided."""

    edge: str
    lines: tuple[str, ...]
    box: Box
    crossed: int


@dataclass
class Page:
    """The geometry of a drawing, in mm. bands: (name, bottom, top) of each row."""

    width: float
    height: float
    boxes: dict[str, Box] = field(default_factory=dict)
    glyphs: list[Glyph] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    bands: list[tuple[str, float, float]] = field(default_factory=list)
    axons: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)  # (kind of the cell, line)
    keys: list[tuple[str, str, float, float]] = field(default_factory=list)  # of the legend: (what, words, x, y)


class Layout:
    """Finds the Page of a Sketch. width: mm, a key of WIDTHS, or None for the narrowest that is comfortable."""

    def __init__(self, sketch: Sketch, width: float | str | None = None, title: bool = True, legend: bool = True):
        self.sketch, self.title, self.legend = sketch, title, legend
        self.columns = max(sketch.columns.values(), default=0) + 1
        self.lanes = {"left": 0, "right": 0}
        self.lane: dict[str, float] = {}
        self.page = Page(self._width(width), 0.0)
        self._place_columns()
        self._ports()
        self._pieces()
        self._rows()
        self._wires()

    # -- across the page -------------------------------------------------------------------------------------------

    def _width(self, width: float | str | None) -> float:
        for edge in self.sketch.edges:
            if self._reach(edge) > 1:
                self.lanes["left" if edge.way == "forward" else "right"] += 1
        self.outside = max([4.0, *(text_width(", ".join(n.outside), 5) + 4 for n in self.sketch.nodes)])
        self.margin = max(MARGIN_LEFT, 13.0 + RADIUS + self.outside - 0.42 * PITCH[0])
        self.room = self.margin + MARGIN_RIGHT + LANE * (self.lanes["left"] + self.lanes["right"])
        if isinstance(width, str):
            return WIDTHS[width]
        if width is not None:
            return float(width)
        wanted = self.room + 25.0 * self.columns
        return next((w for w in WIDTHS.values() if w >= wanted), WIDTHS["double"])

    def _reach(self, edge: Edge) -> int:
        return abs(self.sketch.node(edge.target).row - self.sketch.node(edge.source).row)

    def _place_columns(self) -> None:
        pitch = min(max((self.page.width - self.room) / self.columns, PITCH[0]), PITCH[1])
        self.page.width = max(self.page.width, self.room + self.columns * pitch)
        spare = self.page.width - self.room - self.columns * pitch
        self.left = self.margin + LANE * self.lanes["left"] + spare / 2
        self.right = self.left + self.columns * pitch
        self.centre = [self.left + (k + 0.42) * pitch for k in range(self.columns)]
        self.glyph: dict[tuple[str, str], tuple[float, float]] = {}  # (node, signal) -> (x, x of the axon)
        self.span: dict[str, tuple[float, float]] = {}
        usual = [k for (name, _), k in self.sketch.columns.items() if not self.sketch.node(name).added]
        for node in self.sketch.nodes:
            mine = [self.sketch.columns[node.name, s] for s, _ in node.sends or (("", node.kind),)]
            for (signal, _), column in zip(node.sends or (("", node.kind),), mine, strict=True):
                x = self.centre[column]
                self.glyph[node.name, signal] = (x, x + RADIUS + 1.6 + 1.5 * (node.row % 2))
            if self.sketch.unit and node.kind != "source":
                mine, before = (mine, 3.0) if node.added else (usual, self.outside)
                x0, x1 = self.centre[min(mine)] - RADIUS, self.centre[max(mine)] + RADIUS
                self.span[node.name] = (x0 - before, x1 + 6)
            else:
                self.span[node.name] = (self.centre[mine[0]] - RADIUS, self.centre[mine[0]] + RADIUS)
        for edge in sorted(self.sketch.edges, key=self._reach):
            if self._reach(edge) > 1:
                side = "left" if edge.way == "forward" else "right"
                number = sum(1 for name in self.lane if (self.lane[name] < self.left) == (side == "left"))
                self.lane[edge.name] = (
                    self.left - 1.5 - LANE * number if side == "left" else self.right + 0.5 + LANE * number
                )

    def _trunks(self, edge: Edge) -> list[tuple[str, float]]:
        """(signal, x) of the axons that an edge starts from."""
        node = self.sketch.node(edge.source)
        if edge.form == "broadcast":  # no axon: a graded signal of the population
            return [("", max(x for (name, _), (_, x) in self.glyph.items() if name == node.name) + 3.1)]
        names = [c.signal for c in edge.carries if not c.back and (node.name, c.signal) in self.glyph]
        names += [
            s for learning in edge.learns for s in learning.pre if (node.name, s) in self.glyph
        ]  # if only to learn
        names = names or [signal for signal, _ in node.sends] or [""]
        if not self.sketch.unit:
            names = names[:1]
        return [(name, self.glyph[node.name, name][1]) for name in dict.fromkeys(names)]

    # -- where edges end -------------------------------------------------------------------------------------------

    def _from_below(self, edge: Edge) -> bool:
        return self.sketch.node(edge.source).row < self.sketch.node(edge.target).row

    def _channels(self, edge: Edge) -> tuple[int, int]:
        """Channels in which an edge leaves and arrives; channel k lies above row k."""
        source, target = self.sketch.node(edge.source).row, self.sketch.node(edge.target).row
        if source == target:
            return source, source
        return (source, target - 1) if source < target else (source - 1, target)

    def _ports(self) -> None:
        self.port: dict[str, float] = {}
        for node in self.sketch.nodes:
            for below in (True, False):
                mine = [e for e in self.sketch.edges if e.target == node.name and self._from_below(e) == below]
                mine.sort(key=lambda e: self.lane.get(e.name, self._trunks(e)[0][1]))
                if mine:
                    self._spread(node, below, mine)

    def _spread(self, node: Node, below: bool, edges: list[Edge]) -> None:
        """Places of the synapses along one side of a node, in the order in which they come."""
        x0, x1 = self.span[node.name]
        trunks = {x: name for (name, _), (_, x) in self.glyph.items()}
        if self.sketch.unit and node.kind != "source":
            used: list[float] = []
            for edge in edges:
                x = min(max(self.lane.get(edge.name, self._trunks(edge)[0][1]), x0 + 2), x1 - 2)
                mine = self._trunks(edge)[0][1]
                while any(abs(x - u) < 1.8 for u in used) or any(abs(x - t) < 1.2 and t != mine for t in trunks):
                    x -= 0.3
                used.append(x)
                self.port[edge.name] = x
            return
        step = min(2.3, 2 * RADIUS / len(edges))
        middle = (x0 + x1) / 2 + (1.0 if below else 0.0)
        for k, edge in enumerate(edges):
            self.port[edge.name] = middle + (k - (len(edges) - 1) / 2) * step

    # -- tracks and heights ----------------------------------------------------------------------------------------

    def _pieces(self) -> None:
        """The horizontal pieces of all edges, by channel, each with its track and its label."""
        self.pieces: dict[int, list[Piece]] = {}
        for edge in self.sketch.edges:
            leaves, arrives = self._channels(edge)
            up = self.sketch.node(edge.target).row >= self.sketch.node(edge.source).row
            start = [Stub(x, not up, f"{edge.source}.{signal}") for signal, x in self._trunks(edge)]
            end = Stub(self.port[edge.name], self._from_below(edge), f"port {edge.name}")
            text = tuple(dict.fromkeys(edge_text(edge, self.sketch.phases, self.sketch.unit, n) for n in LETTERS))
            if leaves == arrives:
                self._piece(edge, leaves, [*start, end], text)
                continue
            lane = f"lane {edge.name}"
            self._piece(edge, leaves, [*start, Stub(self.lane[edge.name], up, lane)], ())
            self._piece(edge, arrives, [Stub(self.lane[edge.name], not up, lane), end], text)
        for channel, pieces in self.pieces.items():
            self.pieces[channel] = tracks.arrange(pieces, self.left - 3.5, self.page.width - 1)

    def _piece(self, edge: Edge, channel: int, stubs: list[Stub], texts: tuple[tuple[str, ...], ...]) -> None:
        texts = tuple(text for text in texts if text)
        self.pieces.setdefault(channel, []).append(Piece(edge.name, tuple(stubs), texts))

    def _rows(self) -> None:
        page, y = self.page, self._legend() if self.legend else 1.0
        tall = 2 * RADIUS + 2 * DENDRITE
        self.level: dict[tuple[str, int], float] = {}
        for row, name in enumerate(self.sketch.rows):
            mine = [n for n in self.sketch.nodes if n.row == row]
            page.bands.append((name, y, y + tall))
            for node in mine:
                x0, x1 = self.span[node.name]
                page.boxes[node.name] = Box(x0, y, x1, y + tall)
                for signal, kind in node.sends or (("", node.kind),):
                    x, trunk = self.glyph[node.name, signal]
                    page.glyphs.append(Glyph(node.name, signal, kind, x, y + tall / 2, trunk))
            y += tall + 2.2
            for track in self._by_track(row):
                for piece in track:
                    self.level[piece.edge, row] = y
                    if piece.text:
                        box = Box(piece.left, y + 0.5, piece.left + piece.width, y + 0.5 + piece.height)
                        page.labels.append(Label(piece.edge, piece.text, box, piece.crossed))
                y += max(1.9, *(piece.height + 1.5 for piece in track))
            y += 1.4 if row < len(self.sketch.rows) - 1 else 0.0
        page.height = y + (HEAD if self.title else 0.0)

    def _legend(self) -> float:
        """Places the keys of the legend, line by line from the bottom, and returns where the drawing may begin."""
        points, before, line = KEY
        rows, x = [[]], 2.0
        for what, words in keys(self.sketch):
            wide = before + text_width(words, points) + 3.0
            if x + wide > self.page.width and rows[-1]:
                rows.append([])
                x = 2.0
            rows[-1].append((what, words, x))
            x += wide
        top = 1.5 + line * len(rows)
        for k, row in enumerate(rows):
            self.page.keys += [(what, words, x, top - (k + 0.5) * line) for what, words, x in row]
        return top + 2.0

    def _by_track(self, channel: int) -> list[list[Piece]]:
        pieces = self.pieces.get(channel, [])
        return [[p for p in pieces if p.track == k] for k in range(max((p.track for p in pieces), default=-1) + 1)]

    def _wires(self) -> None:
        ends: dict[tuple[str, str, bool], list[float]] = {}  # (node, signal, upwards) -> where its axon is left
        for edge in self.sketch.edges:
            leaves, arrives = self._channels(edge)
            box, source = self.page.boxes[edge.target], self.page.boxes[edge.source]
            rises = self.sketch.node(edge.target).row >= self.sketch.node(edge.source).row
            below = self._from_below(edge)
            tip = (self.port[edge.name], box.y0 if below else box.y1)
            bends = [(self.port[edge.name], self.level[edge.name, arrives])]
            if leaves != arrives:
                lane = self.lane[edge.name]
                bends = [(lane, self.level[edge.name, leaves]), (lane, self.level[edge.name, arrives]), *bends]
            level, lines = self.level[edge.name, leaves], []
            for signal, x in self._trunks(edge):
                lines.append([(x, source.y1 if rises else source.y0), (x, level), *bends, tip])
                ends.setdefault((edge.source, signal, rises), []).append(level)
            self.page.wires.append(Wire(edge.name, lines, tip, below))
        for wire in self.page.wires:
            edge = next(e for e in self.sketch.edges if e.name == wire.edge)
            rises = wire.lines[0][0][1] < wire.lines[0][1][1]
            for (signal, x), line in zip(self._trunks(edge), wire.lines, strict=True):
                levels = ends[edge.source, signal, rises]
                if line[1][1] != (max(levels) if rises else min(levels)):
                    wire.joins.append((x, line[1][1]))
        self._backwards()
        for node, signal, rises in ends:
            glyph = [g for g in self.page.glyphs if g.node == node][-1]
            if (node, signal) not in self.glyph:  # a broadcast
                x, y = glyph.trunk + 3.1, self.page.boxes[node].y1 if rises else self.page.boxes[node].y0
                start = (glyph.x + RADIUS * 0.5, glyph.y + 1.2)
                self.page.axons.append(("broadcast", [start, (x, start[1]), (x, y)]))
        for glyph in self.page.glyphs:
            box = self.page.boxes[glyph.node]
            start = [(glyph.x + RADIUS * 0.5, glyph.y), (glyph.trunk, glyph.y)]
            for rises, y in ((True, box.y1), (False, box.y0)):
                if (glyph.node, glyph.signal, rises) in ends:
                    self.page.axons.append((glyph.kind, [*start, (glyph.trunk, y)]))

    def _backwards(self) -> None:
        """What runs back along a synapse: from the cell that sends it to the place where the synapse ends."""
        for wire in self.page.wires:
            edge = next(e for e in self.sketch.edges if e.name == wire.edge)
            for signal in dict.fromkeys(c.signal for c in edge.carries if c.back):
                for glyph in self.page.glyphs:
                    if (glyph.node, glyph.signal) == (edge.target, signal):
                        y = wire.tip[1] + (1.3 if wire.up else -1.3)
                        start = [(glyph.x + RADIUS * 0.5, glyph.y), (glyph.trunk, glyph.y)]
                        self.page.axons.append((glyph.kind, [*start, (glyph.trunk, y), (wire.tip[0], y), wire.tip]))


def layout(sketch: Sketch, width: float | str | None = None, title: bool = True, legend: bool = True) -> Page:
    """The page of a sketch."""
    return Layout(sketch, width, title, legend).page
