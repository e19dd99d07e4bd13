"""Draws docs/images/layers.svg: the rooms of carezoo in the layers of the import contract, and who imports whom.

Layers come from ``[tool.importlinter]`` in pyproject.toml, arrows from the imports that are really there (grimp reads
them; nothing is executed). An arrow that others imply is left out: where A imports B and B imports C, A may import C,
too. The bridges, which have contracts of their own, are a layer below the command line. An import against the layers is
red.

Run it after the contract or the imports between rooms changed: ``python docs/draw_layers.py``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "layers.svg"

Layers = list[list[str]]
Imports = Mapping[str, frozenset[str]]
Places = dict[str, tuple[int, int]]

WIDTH, ROW, BOX, LETTER, MARGIN, N_COLUMNS = 960, 76, 32, 8, 70, 20
"""Pixels: width of the picture, from layer to layer, height of a box, width of a letter, space at the sides."""


def read_layers() -> Layers:
    """Return the rooms of each layer, highest first, as the contract says."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        linter = tomllib.load(file)["tool"]["importlinter"]
    (contract,) = (each for each in linter["contracts"] if each["name"] == "layers")
    layers = [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]
    bridges = [name for name in linter["root_packages"] if name != "carezoo"]
    return [layers[0], bridges, *layers[1:]]


def read_imports() -> Imports:
    """Return for every room the other rooms that its modules import."""
    for folder in ("bridges/fiji", "bridges/knime/src"):
        sys.path.insert(0, str(ROOT / folder))
    roots = ("carezoo", *read_layers()[1])
    graph = grimp.build_graph(*roots, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        rooms = {_room(imported) for imported in graph.find_modules_directly_imported_by(module)}
        found.setdefault(_room(module), set()).update(rooms - {_room(module)})
    return {room: frozenset(imported) for room, imported in found.items()}


def _room(module: str) -> str:
    first, *others = module.split(".")
    return others[0] if first == "carezoo" and others else first


def nearest(imports: Imports, layers: Layers) -> Imports:
    """Return the imports without those that others imply; all of those against the layers."""
    row = {room: number for number, layer in enumerate(layers) for room in layer}
    known = {room: {each for each in imports.get(room, ()) if each in row} for room in row}
    down = {room: {each for each in known[room] if row[each] >= row[room]} for room in row}
    found = {}
    for room in row:
        implied = set().union(*(_reached(down, each) for each in down[room]))
        found[room] = frozenset(known[room] - implied)
    return found


def _reached(imports: Mapping[str, set[str]], room: str) -> set[str]:
    found: set[str] = set()
    waiting = [room]
    while waiting:
        new = imports[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def draw(layers: Layers, imports: Imports) -> str:
    """Return the picture as SVG, the same text everywhere."""
    arrows = nearest(imports, layers)
    places = place(layers, arrows)
    height = ROW * len(layers)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_lines(places, arrows),
        *_boxes(places, imports),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def place(layers: Layers, arrows: Imports) -> Places:
    """Return the centre of each box, so that few arrows run behind a box and most are short.

    Each room in turn moves to the best column of its layer; a few rounds are enough.
    """
    places = {
        room: ((column + 1) * WIDTH // (len(layer) + 1), ROW * row + ROW // 2)
        for row, layer in enumerate(layers)
        for column, room in enumerate(layer)
    }
    columns = [MARGIN + i * (WIDTH - 2 * MARGIN) // N_COLUMNS for i in range(N_COLUMNS + 1)]
    for _ in range(4):
        for room, (_, y) in list(places.items()):
            costs = [(_cost({**places, room: (x, y)}, arrows), x) for x in columns]
            places[room] = (min(costs)[1], y)
    return places


def _cost(places: Places, arrows: Imports) -> float:
    """Return how hard a picture is to read: boxes too near each other, arrows behind boxes, long arrows."""
    boxes = [(x, y, _width(room) / 2 + 12) for room, (x, y) in places.items()]
    near = sum(a[1] == b[1] and abs(a[0] - b[0]) < a[2] + b[2] for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    hidden, length = 0, 0
    for room, others in arrows.items():
        x, y = places[room]
        for other in others:
            to_x, to_y = places[other]
            length += (x - to_x) ** 2
            for box_x, box_y, half in boxes:
                if min(y, to_y) < box_y < max(y, to_y):
                    hidden += abs(x + (to_x - x) * (box_y - y) / (to_y - y) - box_x) < half
    return 1e9 * near + 2e5 * hidden + length


def _width(room: str) -> int:
    return LETTER * len(room) + 20


def _lines(places: Places, arrows: Imports) -> Iterator[str]:
    for room, (x, y) in places.items():
        for other in sorted(arrows[room]):
            to_x, to_y = places[other]
            start, end = (y + BOX // 2, to_y - BOX // 2) if to_y > y else (y - BOX // 2, to_y + BOX // 2)
            path = f"M{x} {start} L{to_x} {end}"
            if to_y == y:
                path = f"M{x} {y - BOX // 2} Q{(x + to_x) // 2} {y - ROW // 2} {to_x} {y - BOX // 2}"
                end = y - BOX // 2
            colour = "#c0392b" if to_y < y else "#7f8c9a"
            yield f'<path d="{path}" fill="none" stroke="{colour}"><title>{room} imports {other}</title></path>'
            yield f'<circle cx="{to_x}" cy="{end}" r="3" fill="{colour}"/>'


def _boxes(places: Places, imports: Imports) -> Iterator[str]:
    for room, (x, y) in places.items():
        width = _width(room)
        said = f"{room} imports {', '.join(sorted(imports.get(room, ()))) or 'nothing'}"
        corner = f'x="{x - width // 2}" y="{y - BOX // 2}"'
        yield (
            f"<g><title>{said}</title>"
            f'<rect {corner} width="{width}" height="{BOX}" rx="5" fill="#eef3f8" stroke="#34495e"/>'
            f'<text x="{x}" y="{y}" font-size="13" text-anchor="middle" dominant-baseline="central" '
            f'textLength="{width - 20}" fill="#1b2631">{room}</text></g>'
        )


if __name__ == "__main__":
    PICTURE.write_text(draw(read_layers(), read_imports()), encoding="utf8")
