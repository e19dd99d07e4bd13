"""What a package says its training inputs looked like: of files, of pairs that are computed, and of stacks."""

import numpy as np
import pytest

from carezoo.domain_check import compare
from carezoo.files import write_image
from carezoo.image import Image
from carezoo.train.prepare import prepare, training_images
from carezoo.train.recipe import Recipe

SIMULATED = {"name": "synthetic", "n_choose": 1, "n_report": 1}
TUBULES = {
    "structures": {"kind": "tubules"},
    "psf": {"kind": "gaussian", "sigma_um": 0.12},
    "camera": {"photons": {"log": [20, 200]}},
    "shape": [128, 128],
}
STACKS = {
    "task": "isotropic",
    "structures": {"kind": "nuclei", "radius_um": 3, "coverage": 0.3},
    "pixel_size_um": [0.4, 0.4],
    "shape": [72, 72],
    "axial_psfs": {"kind": "widths", "axial_um": 0.8, "lateral_um": 0.3},
    "factor": 2,
    "camera": {"photons": 100},
}


def described(folder, data, **changes):
    values = {"name": "made-up", "patches": {"size": {"y": 32, "x": 32}}, "data": {"folder": str(folder), **data}}
    recipe = Recipe.from_dict({**values, **changes})
    return training_images(recipe, prepare(recipe, folder / "cache"))


@pytest.fixture
def acquired(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "low").mkdir()
    (tmp_path / "high").mkdir()
    for i in range(4):
        clean = np.kron(rng.gamma(1, 20, (12, 12)), np.ones((8, 8))).astype(np.float32)
        for name, pixels in (("low", rng.poisson(clean).astype(np.float32)), ("high", clean)):
            write_image(tmp_path / name / f"{i}.tif", Image(pixels, "YX", {"Y": 0.1 + 0.01 * i, "X": 0.1 + 0.01 * i}))
    split = {"fit": ["[01].tif"], "choose": ["2.tif"], "report": ["3.tif"]}
    return {"name": "acquired", "source": "low", "target": "high", "split": split}


def test_files_to_fit_and_computed_pairs_are_kinds_of_their_own(tmp_path, acquired):
    record = described(tmp_path, {"sets": [acquired], "simulated": [{**SIMULATED, "simulate": TUBULES}]})
    first, second = record["channels"][0]["kinds"]
    assert (first["name"], first["n_images"]) == ("acquired", 2)
    assert (second["name"], second["n_images"]) == ("synthetic", 12)
    assert record["pixel_size_um"]["x"] == [0.1, 0.11]
    assert described(tmp_path, {"sets": [acquired]}) == described(tmp_path, {"sets": [acquired]})


def test_isotropic_models_describe_stacks_as_they_take_them(tmp_path):
    simulated = [{**SIMULATED, "simulate": STACKS}]
    record = described(tmp_path, {"simulated": simulated}, task="isotropic", factor=2)
    assert set(record["pixel_size_um"]) == {"x", "y", "z"}
    rng = np.random.default_rng(0)
    assert compare(Image(rng.poisson(50, (8, 72, 72)), "ZYX"), record).reasons


def test_training_images_that_are_too_small_leave_no_record(tmp_path):
    small = {**SIMULATED, "simulate": {**TUBULES, "shape": [48, 48]}}
    assert described(tmp_path, {"simulated": [small]}) is None
