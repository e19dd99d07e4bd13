"""The picture of the layers in docs/design.md shows the contract and the imports that are there."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "draw_layers.py"

spec = importlib.util.spec_from_file_location("draw_layers", SCRIPT)
draw_layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draw_layers)


def test_the_picture_is_what_the_script_draws():
    made = draw_layers.draw(draw_layers.read_layers(), draw_layers.read_imports())
    assert made == draw_layers.PICTURE.read_text("utf8"), "run: python docs/draw_layers.py"


def test_an_implied_arrow_is_left_out_and_one_against_the_layers_is_red():
    layers = [["top"], ["middle"], ["bottom"]]
    imports = {"top": {"middle", "bottom"}, "middle": {"bottom"}, "bottom": {"top"}}
    picture = draw_layers.draw(layers, imports)
    assert "<title>top imports middle</title>" in picture
    assert "<title>top imports bottom</title>" not in picture
    (line,) = (line for line in picture.splitlines() if "<title>bottom imports top</title>" in line and "path" in line)
    assert "#c0392b" in line
    assert picture.count("<path") == 3
