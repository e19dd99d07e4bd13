"""The demo: a model that ships improves a real image it has never seen."""

import re

import tifffile

from carezoo.cli.main import run


def test_the_demo_restores_scores_and_draws(tmp_path, capsys):
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 0
    told = capsys.readouterr().out
    psnr = {name: float(value) for name, value in re.findall(r"^(noisy|restored) +([\d.]+)", told, re.MULTILINE)}
    assert psnr["restored"] > psnr["noisy"] + 3
    assert tifffile.imread(tmp_path / "demo" / "restored.tif").dtype == "float32"
    assert (tmp_path / "demo" / "before_after.png").read_bytes().startswith(b"\x89PNG")
