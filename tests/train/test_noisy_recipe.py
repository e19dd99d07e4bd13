"""`carezoo train --noisy`: one folder or file is enough, and a real image gets better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import carezoo
from carezoo.cli.main import run
from carezoo.errors import DataError
from carezoo.train.noisy_recipe import describe_noisy
from carezoo.train.recipe import Recipe

PHOTONS = Path(__file__).parents[1] / "images" / "photons_tyx_imagej.tif"


def save(folder, shape, axes, n=1):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        tifffile.imwrite(folder / f"{i}.tif", np.zeros(shape, np.uint16), metadata={"axes": axes})
    return folder


@pytest.mark.parametrize(
    ("shape", "axes", "n", "size", "channels"),
    [
        ((512, 500), "YX", 3, {"y": 96, "x": 96}, 1),
        ((200, 500), "YX", 1, {"y": 64, "x": 96}, 1),
        ((100, 60), "YX", 3, {"y": 96, "x": 56}, 1),
        ((12, 100, 100), "TYX", 1, {"y": 96, "x": 96}, 1),
        ((5, 100, 100), "TYX", 1, {"y": 32, "x": 96}, 1),
        ((2, 512, 512), "CYX", 3, {"y": 96, "x": 96}, 2),
        ((20, 100, 100), "ZYX", 1, {"z": 8, "y": 32, "x": 48}, 1),
        ((5, 512, 512), "ZYX", 3, {"y": 96, "x": 96}, 1),
    ],
)
def test_the_recipe_follows_from_the_images(tmp_path, shape, axes, n, size, channels):
    recipe = describe_noisy(save(tmp_path / "My cells_2", shape, axes, n))
    assert recipe.name == "denoise-my-cells-2"
    assert {letter.lower(): length for letter, length in recipe.patches.size.by_axis.items()} == size
    assert len(recipe.data.channels) == channels
    assert recipe.training.loss == "noisy"
    assert Recipe.from_dict(recipe.to_dict()).training == recipe.training


def test_images_that_do_not_go_together_or_are_too_small_are_refused(tmp_path):
    save(tmp_path / "a", (40, 100), "YX")
    with pytest.raises(DataError, match=r"too small along Y: expected at least 16 .* found 13"):
        describe_noisy(tmp_path / "a")
    save(tmp_path / "b", (2, 100, 100), "CYX")
    tifffile.imwrite(tmp_path / "b" / "other.tif", np.zeros((100, 100), np.uint8), metadata={"axes": "YX"})
    with pytest.raises(DataError, match=r"other.tif has 1 channel.*0.tif has 2"):
        describe_noisy(tmp_path / "b")


def test_five_frames_of_a_living_cell_teach_to_restore_them(tmp_path, monkeypatch, capsys):
    """Photon counts: a restored frame is nearer to the mean of the other four than the frame itself."""
    monkeypatch.setattr(
        "carezoo.train.noisy_recipe._TRAINING",
        {"n_epochs": 3, "steps_per_epoch": 30, "batch_size": 4, "learning_rate": 2e-3, "schedule": "cosine"},
    )
    monkeypatch.setattr("carezoo.train.pack.draft_tools.bytes_per_pixel", lambda weights, n_channels, rules: 100)
    assert run(["train", "--noisy", str(PHOTONS), "-o", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "channel 0: gain" in err
    frames = tifffile.imread(PHOTONS).astype(np.float64)
    restored = np.asarray(carezoo.load(out.strip()).restore(PHOTONS).mean, np.float64)
    for i in range(5):
        others = np.delete(frames, i, axis=0).mean(axis=0)
        noise_of_others = others.mean() / 4
        before, after = (((each[i] - others) ** 2).mean() - noise_of_others for each in (frames, restored))
        assert after < before / 2


@pytest.mark.parametrize("arguments", [["--noisy", "cells"], ["recipe.yaml", "--noisy", "cells", "-o", "run"]])
def test_a_recipe_or_noisy_images_are_expected(arguments, capsys):
    assert run(["train", *arguments]) == 2
    assert "carezoo train --noisy FOLDER -o RUN" in capsys.readouterr().err
