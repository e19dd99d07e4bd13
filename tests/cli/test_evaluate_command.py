"""`carezoo evaluate` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys

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
        (["--source", "nowhere"], "nowhere does not exist"),
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


@pytest.fixture
def series(folder):
    """Return folders of noisy series, and of one clean frame and of a clean series for each."""
    for side in ("series", "still", "moving"):
        (folder / side).mkdir()
    rng = np.random.default_rng(0)
    clean = packages.picture((7, 48, 64)) // 4
    tifffile.imwrite(folder / "series" / "a.tif", rng.poisson(clean).astype(np.uint16), metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "still" / "a.tif", clean.mean(0).astype(np.float32))
    means = np.stack([clean[:3].mean(0), clean[3:6].mean(0)]).astype(np.float32)
    tifffile.imwrite(folder / "moving" / "a.tif", means, metadata={"axes": "TYX"})
    return folder


def test_averages_are_scored_as_restored_means_beside_means(series):
    def scores(*options):
        command = ["evaluate", "-m", "model.zip", "-o", "report", "--overwrite", "--baselines", "gaussian"]
        assert run([*command, *map(str, options)]) == 0
        return json.loads((series / "report" / "scores.json").read_text()), (
            series / "report" / "scores.csv"
        ).read_text()

    told, found = scores("--source", "series", "--target", "moving", "--average", 3)
    assert told["provenance"]["average"] == 3
    assert "each the mean of 3 frames" in (series / "report" / "index.html").read_text(encoding="utf-8")
    frames = tifffile.imread(series / "series" / "a.tif").astype(np.float64)
    (series / "means").mkdir()
    means = np.stack([frames[:3].mean(0), frames[3:6].mean(0)]).astype(np.float32)
    tifffile.imwrite(series / "means" / "a.tif", means, metadata={"axes": "TYX"})
    _, expected = scores("--source", "means", "--target", "moving")
    assert "a.tif, T 1" in found
    assert found == expected
    assert "a.tif, T 1" in scores("--source", "series", "--target", "still", "--average", 3)[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source", "series", "--target", "moving"], "makes T 7, but moving/a.tif is T 2"),
        (["--source", "series", "--target", "still", "--average", "9"], "average 9: series/a.tif has 7 frame(s)"),
        (["--source", "low", "--target", "high", "--average", "2"], "but low/a.tif has axes YX"),
    ],
)
def test_averages_that_cannot_be_are_told(series, capsys, options, words):
    assert run(["evaluate", "-m", "model.zip", "-o", "report", *options]) == 2
    assert words in capsys.readouterr().err


def test_without_its_extra_it_says_what_to_install(folder):
    script = "import sys; sys.modules['scipy'] = None; from carezoo.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *COMMAND, "--source", "low"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert (
        'scipy is needed to evaluate a model and is not installed. Run: pip install "carezoo[evaluate]"' in done.stderr
    )


def test_noisy_images_alone_are_enough(folder, capsys):
    (folder / "noisy").mkdir()
    for seed, name in enumerate("ab"):
        light = 4 + packages.picture((128, 128), seed) / 100
        tifffile.imwrite(folder / "noisy" / f"{name}.tif", np.random.default_rng(seed).poisson(light).astype(np.uint16))
    command = ["evaluate", "-m", "model.zip", "--noisy", "noisy", "-o", "report", "--baselines", "gaussian"]
    assert run(command) == 0
    told = capsys.readouterr().out
    for words in (
        "estimated from noisy images",
        "noise removed (dB)",
        "Gaussian (sigma",
        "On these images",
        "written:",
    ):
        assert words in told
    html = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "Scores, estimated from noisy images" in html
    assert "PSNR (dB)" not in html
    assert json.loads((folder / "report" / "scores.json").read_text(encoding="utf-8"))["verdict"] in told
    assert run(command) == 2
    assert "holds a report already" in capsys.readouterr().err


def test_noisy_images_and_pairs_do_not_go_together(folder, capsys):
    assert run(["evaluate", "-m", "model.zip", "--noisy", "low", "--source", "low", "-o", "report"]) == 2
    assert "--noisy goes without --source" in capsys.readouterr().err
    assert run(["evaluate", "-m", "model.zip", "-o", "report"]) == 2
    assert "expected --source and --target, or --noisy" in capsys.readouterr().err
