"""A drawing of a circuit, made from its plan: cells, their axons and synapses, and what the plastic ones read."""

from __future__ import annotations

from pathlib import Path

from neurolearn import figures
from neurolearn.circuit.look.layout import KEY, RADIUS, WIDTHS, Box, Glyph, Page, Wire, layout
from neurolearn.circuit.look.sketch import Edge, Planned, Sketch, sketch
from neurolearn.circuit.look.tracks import FONT
from neurolearn.errors import InputError

SUFFIXES = (".svg", ".pdf", ".png")
MM = 1 / 25.4
BLUE, ORANGE, GREEN = figures.COLOURS[1], figures.COLOURS[3], figures.COLOURS[4]
INK, SOFT = figures.COLOURS[0], "#6f6f6f"
FILL = {"input": "#ececec", "rate": "#d3e5f3", "error": "#fbdcc6", "other": "#f7ebc8", "source": "#ffffff"}
LINE = {"broadcast": GREEN, "input": INK, "rate": BLUE, "error": ORANGE, "other": "#9c7a1c", "source": SOFT}
WAY = {"forward": BLUE, "feedback": ORANGE, "lateral": SOFT}
DASHED, DOTTED, COPY = (0, (4, 1.6)), (0, (1, 1.2)), (0, (5, 1.5))
KEY_LINES = {
    **{way: {"color": colour, "lw": 1.2, "ls": "-"} for way, colour in WAY.items()},
    "plastic": {"color": SOFT, "lw": 1.5, "ls": "-"},
    "copy": {"color": SOFT, "lw": 0.8, "ls": COPY},
    "apical": {"color": SOFT, "lw": 0.8, "ls": DOTTED},
    "one_to_one": {"color": SOFT, "lw": 0.8, "ls": DOTTED},
    "broadcast": {"color": GREEN, "lw": 1.0, "ls": DASHED},
    "transpose": {"color": ORANGE, "lw": 0.8, "ls": "-"},
    "retrograde": {"color": ORANGE, "lw": 0.8, "ls": "-"},
}


def draw(
    circuit: Planned,
    ax=None,
    path: str | Path | None = None,
    *,
    width: float | str | None = None,
    title: bool = True,
    legend: bool = True,
):
    """Draw a circuit: layers from the lowest up, a column for the cells of each signal. Returns the axes.

    circuit: a built ``Circuit``, a ``Learner``, what ``planned`` returns. ax: axes to draw into, else a figure of its own. path: the
    figure is written there (.svg, .pdf or .png) and closed. width: mm, or single (85), middle (120) or double (178), the
    columns of journals; default is the narrowest that is comfortable. title, legend: leave them out where a caption says
    it. Raises InputError for another suffix or width.
    """
    if path is not None and Path(path).suffix not in SUFFIXES:
        raise InputError(f"path is {str(path)!r}; a drawing is written as {', '.join(SUFFIXES)}.")
    if isinstance(width, str) and width not in WIDTHS:
        raise InputError(f"width is {width!r}; give millimetres or one of {', '.join(WIDTHS)}.")
    if path is not None and not Path(path).parent.is_dir():
        raise InputError(f"path is {str(path)!r}, and there is no folder {str(Path(path).parent)!r}; make it, or give another.")
    drawn = sketch(circuit)
    page = layout(drawn, width, title, legend)
    with figures.style(), _text_that_stays_text():
        return _figure(drawn, page, ax, path, title)


def _text_that_stays_text():
    import matplotlib

    return matplotlib.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "neurolearn"})


def _figure(drawn: Sketch, page: Page, ax, path, title: bool):
    import matplotlib.pyplot as plt

    figure = None
    if ax is None:
        figure = plt.figure(figsize=(page.width * MM, page.height * MM), dpi=300)
        ax = figure.add_axes([0, 0, 1, 1])
    ax.set(xlim=(0, page.width), ylim=(0, page.height), aspect="equal")
    ax.set_axis_off()
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    scale = box.width / ax.figure.dpi / (page.width * MM)
    Ink(ax, drawn, page, scale, title).all()
    if path is not None:
        ax.figure.savefig(path)
        if figure is not None:
            plt.close(figure)
    return ax


class Ink:
    """Puts a page on axes whose unit is a millimetre. scale: of letters and lines, if the axes are smaller than that."""

    def __init__(self, ax, drawn: Sketch, page: Page, scale: float, title: bool = True):
        self.ax, self.drawn, self.page, self.scale, self.title = ax, drawn, page, scale, title

    def all(self) -> None:
        """Everything, from the back to the front."""
        self._bands()
        for kind, line in self.page.axons:
            self._path(line, LINE[kind], 1.2, DASHED if kind == "broadcast" else "-", 3.4)
        for wire in self.page.wires:
            self._wire(wire, next(e for e in self.drawn.edges if e.name == wire.edge))
        for glyph in self.page.glyphs:
            self._glyph(glyph)
        for label in self.page.labels:
            edge = next(e for e in self.drawn.edges if e.name == label.edge)
            self._label(label, edge)
        self._legend()
        if self.title:
            self._title()

    def text(self, x: float, y: float, words: str, size: float = FONT, **how) -> None:
        """Text at a place in mm; size in points at full scale."""
        self.ax.text(x, y, words, fontsize=size * self.scale, **{"zorder": 8, "color": INK, **how})

    def _bands(self) -> None:
        for name, y0, y1 in self.page.bands:
            if not self.drawn.unit:
                size = self.page.width - 13.5, y1 - y0 - 2
                self._patch("Rectangle", (12.5, y0 + 1), *size, fc="#f6f6f6", ec="none", zorder=0)
            turned = 90 if len(name) > 9 else 0
            self.text(1.5, (y0 + y1) / 2, name, size=6.5, color=SOFT, va="center", rotation=turned)
        for node in self.drawn.nodes:
            if self.drawn.unit and node.kind != "source":
                box = self.page.boxes[node.name]
                corner, size = (box.x0 + 1, box.y0 + 1), (box.x1 - box.x0 - 2, box.y1 - box.y0 - 2)
                how = {"boxstyle": "round,pad=1,rounding_size=2", "lw": 0.6 * self.scale, "zorder": 1}
                self._patch("FancyBboxPatch", corner, *size, fc="#f6f6f6", ec="#bdbdbd", **how)

    # -- cells -----------------------------------------------------------------------------------------------------

    def _body(self, kind: str, x: float, y: float, r: float, lw: float) -> None:
        """The shape of a cell body: square input, triangular principal cells, round and hexagonal others."""
        how = {"fc": FILL[kind], "ec": LINE[kind], "lw": lw * self.scale, "zorder": 6}
        if kind in ("input", "source"):
            side = 0.74 * r
            self._patch(
                "FancyBboxPatch", (x - side, y - side), 2 * side, 2 * side, boxstyle=f"round,pad={0.12 * r}", **how
            )
        elif kind == "rate":
            corners = [(x - r * 1.08, y - r * 0.86), (x + r * 1.08, y - r * 0.86), (x, y + r)]
            self._patch("Polygon", corners, joinstyle="round", **how)
        elif kind == "error":
            self._patch("Circle", (x, y), r * 0.92, **how)
        else:
            self._patch("RegularPolygon", (x, y), 6, radius=r, **how)

    def _glyph(self, glyph: Glyph) -> None:
        node, x, y, r = self.drawn.node(glyph.node), glyph.x, glyph.y, RADIUS
        self._body(glyph.kind, x, y, r, 0.9)
        name = glyph.signal.replace("_", " ") or "no axon"
        at = (-2.6, 0.0) if glyph.kind == "rate" else (0.7, -1.65)  # a triangle is wide at its base
        size = min(6.2, (38 if glyph.kind == "rate" else 42) / len(name))
        self.text(x, y + at[0], name, size=size, ha="center", va="center", zorder=9)
        self.text(x, y + at[1], str(node.size), size=4.6, color=SOFT, ha="center", va="center", zorder=9)
        self._dendrites(glyph)
        if node.outside and glyph.signal == (node.sends or (("", ""),))[0][0]:
            self._path([(x - r - 2.6, y), (x - r, y)], SOFT, 0.6, "-", 5)
            corners = [(x - r * 0.85, y), (x - r * 0.85 - 1.1, y + 0.55), (x - r * 0.85 - 1.1, y - 0.55)]
            self._patch("Polygon", corners, fc=SOFT, ec="none", zorder=7)
            words = ", ".join(node.outside)
            self.text(x - r - 3.0, y, words, size=5, color=SOFT, style="italic", ha="right", va="center")
        if node.bias and glyph.signal == (node.sends or (("", ""),))[0][0]:
            off = (0.74 * r, 0.86 * r) if glyph.kind == "rate" else (0.65 * r, 0.65 * r)
            self._bias(node.bias, x - off[0], y - off[1], LINE[glyph.kind])

    def _bias(self, kind: str, x: float, y: float, colour: str) -> None:
        """A disc with a b: full where the bias learns, as at a plastic synapse; empty where it is a copy, grey where fixed."""
        colour = SOFT if kind == "fixed" else colour
        fill, edge = (colour, "white") if kind == "plastic" else ("white", colour)
        self._patch("Circle", (x, y), 1.05, fc=fill, ec=edge, lw=0.6 * self.scale, zorder=9)
        self.text(x, y - 0.06, "b", size=4.3, color=edge, weight="bold", ha="center", va="center", zorder=10)

    def _dendrites(self, glyph: Glyph) -> None:
        """From the cell body to where synapses end: basal below, apical on top."""
        box = self.page.boxes[glyph.node]
        ports = {
            up: [w.tip[0] for w in self.page.wires if self._edge(w).target == glyph.node and w.up == up]
            for up in (True, False)
        }
        colour = LINE[glyph.kind]
        if self.drawn.unit and self.drawn.node(glyph.node).kind != "source":
            return
        for up, xs in ports.items():
            if not xs:
                continue
            edge, body = (box.y0, glyph.y - RADIUS * 0.8) if up else (box.y1, glyph.y + RADIUS * 0.8)
            bar = edge + (0.9 if up else -0.9)
            lw = 1.4 * self.scale
            root = sum(xs) / len(xs) if up else glyph.x
            self.ax.plot([root, root], [body, bar], color=colour, lw=lw, zorder=4, solid_capstyle="round")
            lo, hi = min([*xs, root]), max([*xs, root])
            self.ax.plot([lo - 0.5, hi + 0.5], [bar, bar], color=colour, lw=lw, zorder=4, solid_capstyle="round")

    def _edge(self, wire: Wire) -> Edge:
        return next(e for e in self.drawn.edges if e.name == wire.edge)

    # -- synapses --------------------------------------------------------------------------------------------------

    def _wire(self, wire: Wire, edge: Edge) -> None:
        how = style_of(edge)
        for line in wire.lines:
            self._path(line, how["color"], how["lw"], how["ls"], 3)
        for x, y in wire.joins:
            self.ax.plot(x, y, "o", ms=2.4 * self.scale, color=how["color"], zorder=3.5, mew=0)
        self._end(wire.tip, 1 if wire.up else -1, edge, how["color"])
        for carried in edge.carries:
            if carried.back:  # against the direction of the synapse: it arrives where the line starts
                x, y = wire.lines[0][0]
                away = 1 if wire.lines[0][1][1] > y else -1
                corners = [(x, y - 0.2 * away), (x - 1.0, y + 1.8 * away), (x + 1.0, y + 1.8 * away)]
                self._patch("Polygon", corners, fc="white", ec=WAY["feedback"], lw=0.9 * self.scale, zorder=7)
                break

    def _path(self, line, colour: str, width: float, dashes, zorder: float) -> None:
        from matplotlib.patches import PathPatch

        path = rounded(line, 1.0)
        lw = width * self.scale
        self.ax.add_patch(PathPatch(path, fill=False, ec=colour, lw=lw, ls=dashes, zorder=zorder, capstyle="butt"))

    def _patch(self, kind: str, *args, **how) -> None:
        from matplotlib import patches

        self.ax.add_patch(getattr(patches, kind)(*args, **how))

    def _end(self, tip: tuple[float, float], direction: int, edge: Edge, colour: str) -> None:
        """A disc where weights learn, an arrowhead where they are fixed, a compartment where one signal arrives one to one."""
        x, y = tip
        if edge.plastic:
            self._patch("Circle", (x, y), 0.95, fc=colour, ec="white", lw=0.5 * self.scale, zorder=7)
        elif edge.apical:
            self._apical(x, y - 0.5 * direction)
        else:
            y += 0.9 * direction
            corners = [(x, y), (x - 0.85, y - 1.7 * direction), (x + 0.85, y - 1.7 * direction)]
            self._patch("Polygon", corners, fc=colour, ec="white", lw=0.4 * self.scale, zorder=7)

    def _apical(self, x: float, y: float) -> None:
        self._patch("Ellipse", (x, y), 2.0, 1.5, fc="#e5d5ea", ec="#7f3c8d", lw=0.8 * self.scale, zorder=7)

    def _label(self, label, edge: Edge) -> None:
        box: Box = label.box
        colour = style_of(edge)["color"]
        for k, line in enumerate(label.lines):
            y = box.y1 - (k + 0.5) * (box.y1 - box.y0) / len(label.lines)
            self.text(
                box.x0,
                y,
                line,
                va="center",
                ha="left",
                color=colour if k == 0 else INK,
                weight="bold" if k == 0 and edge.plastic else "normal",
                bbox={"fc": "white", "ec": "none", "pad": 0.4, "alpha": 0.85} if label.crossed else None,
            )

    def _legend(self) -> None:
        for what, words, x, y in self.page.keys:
            end = x + KEY[1] - 1.0
            self.text(x + KEY[1], y, words, size=KEY[0], color=SOFT, va="center")
            if what in FILL:
                self._body(what, (x + end) / 2, y, 1.25, 0.7)
                continue
            if what.startswith("bias "):
                self._bias(what.removeprefix("bias "), (x + end) / 2, y, SOFT)
                continue
            how = KEY_LINES.get(what, {"color": SOFT, "lw": 0.8, "ls": "-"})
            self._path([(x, y), (end - 0.6, y)], how["color"], how["lw"], how["ls"], 3)
            if what == "plastic":
                self._patch("Circle", (end - 0.7, y), 0.85, fc=SOFT, ec="white", lw=0.5 * self.scale, zorder=7)
            elif what == "apical":
                self._apical(end - 1.0, y)
            elif what not in WAY:
                fill, lw = ("white", 0.8) if what in ("transpose", "retrograde") else (how["color"], 0.0)
                corners = [(end + 0.2, y), (end - 1.5, y + 0.85), (end - 1.5, y - 0.85)]
                self._patch("Polygon", corners, fc=fill, ec=how["color"], lw=lw * self.scale, zorder=7)

    def _title(self) -> None:
        y = self.page.height - 3.4
        self.text(1.5, y, self.drawn.title, size=8.5, weight="bold", va="center")
        self.text(1.5, y - 3.8, self.drawn.about, size=5.6, color=SOFT, va="center")


def style_of(edge: Edge) -> dict:
    """Colour, width and dashes of an edge."""
    if edge.form != "all_to_all":
        return KEY_LINES.get(edge.form, KEY_LINES["one_to_one"])
    return {"color": WAY[edge.way], "lw": 1.5 if edge.plastic else 0.8, "ls": COPY if edge.copy else "-"}


def rounded(points: list[tuple[float, float]], radius: float):
    """A path along the points whose corners are rounded; points that repeat are left out."""
    from matplotlib.path import Path as Outline

    kept = [points[0]]
    for point in points[1:]:
        if max(abs(point[0] - kept[-1][0]), abs(point[1] - kept[-1][1])) > 1e-6:
            kept.append(point)
    corners, codes = [kept[0]], [Outline.MOVETO]
    for before, here, after in zip(kept, kept[1:], kept[2:], strict=False):
        a, b = _towards(here, before, radius), _towards(here, after, radius)
        corners += [a, here, b]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*corners, kept[-1]], [*codes, Outline.LINETO])


def _towards(here: tuple[float, float], there: tuple[float, float], radius: float) -> tuple[float, float]:
    dx, dy = there[0] - here[0], there[1] - here[1]
    length = (dx * dx + dy * dy) ** 0.5
    share = min(radius / length, 0.5)
    return here[0] + share * dx, here[1] + share * dy
