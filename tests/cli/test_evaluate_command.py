"""`carezoo evaluate` as a user calls it."""

from __future__ import annotations

import numpy as np
import packages
import pytest
import tifffile

from carezoo.cli.main import run
from carezoo.package.write import write_package


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_package(packages.probabilistic_2d(), tmp_path / "model.zip")
    for side, noise in (("low", 20), ("dim", 80), ("high", 0)):
        (tmp_path / side).mkdir()
        for seed, name in enumerate("ab"):
            clean = packages.picture((48, 64), seed)
            image = np.random.default_rng(seed).poisson(clean / noise) * noise if noise else clean
            tifffile.imwrite(tmp_path / side / f"{name}.tif", image.astype(np.uint16))
    x = np.arange(-3, 4)
    tifffile.imwrite(tmp_path / "psf.tif", np.exp(-(x[:, None] ** 2 + x**2) / 4).astype(np.float32))
    return tmp_path


COMMAND = ["evaluate", "-m", "model.zip", "--target", "high", "-o", "report"]


def test_conditions_baselines_and_objects(folder, capsys):
    options = ["--source", "C1=low", "--source", "C2=dim", "--segment", "8", "--psf", "psf.tif"]
    assert run([*COMMAND, *options, "--baselines", "gaussian,richardson-lucy"]) == 0
    told = capsys.readouterr().out
    for words in (
        "C1, 2 file(s)",
        "C2, 2 file(s)",
        "all, 4 file(s)",
        "Gaussian (sigma",
        "Richardson-Lucy (",
        "written:",
    ):
        assert words in told
    (heading,) = (line for line in told.splitlines() if line.startswith("C1, "))
    assert heading.split()[-4:] == ["PSNR", "(dB)", "NRMSE", "SSIM"]
    html = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "All conditions together" in html
    assert "Objects of 8 pixels" in html


def test_a_report_is_replaced_only_when_asked(folder, capsys):
    assert run([*COMMAND, "--source", "low", "--baselines", "none"]) == 0
    assert run([*COMMAND, "--source", "low", "--baselines", "none"]) == 2
    assert "holds a report already; choose another folder, or replace it with --overwrite" in capsys.readouterr().err
    assert run([*COMMAND, "--source", "low", "--baselines", "none", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source", "nowhere"], "source nowhere does not exist"),
        (["--source", "A=low", "--source", "A=dim"], "conditions need different names"),
        (["--source", "low", "--target", "high"], "expected one folder for all sources or one for each; found 2 for 1"),
        (["--source", "low", "--baselines", "magic"], "baseline 'magic' is not known"),
        (["--source", "low", "--baselines", "bicubic-z"], "does not make images of the target's shape"),
        (["--source", "low", "--baselines", "richardson-lucy"], "give --psf FILE"),
        (["--source", "low", "--psf", "missing.tif"], "missing.tif"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_no_report(folder, capsys, options, words):
    assert run([*COMMAND, *options]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert not (folder / "report" / "index.html").exists()
