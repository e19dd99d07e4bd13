"""Simulated pairs and noise fits from and to files."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.errors import DataError, InputError
from carezoo.files import open_image
from carezoo.pairs.find import find_pairs
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.simulate import files as files_
from carezoo.simulate import pairs as pairs_
from carezoo.simulate.files import write_pairs
from carezoo.simulate.noise import fit_files
from carezoo.simulate.pairs import describe, prepare
from carezoo.train.sections import Data

IMAGES = Path(__file__).parents[1] / "images"

TUBULES = {
    "structures": {"kind": "tubules"},
    "psf": {"kind": "gaussian", "sigma_um": [0.1, 0.15]},
    "camera": {"photons": {"log": [10, 200]}},
    "shape": [48, 64],
    "n_pairs": 3,
}


def test_pairs_are_written_as_training_expects_them(tmp_path):
    ready = prepare(describe(TUBULES), Path())
    seen = []
    table = write_pairs(ready, tmp_path / "new" / "pairs", seed=5, on_pair=lambda i, _: seen.append(i))
    assert seen == [0, 1, 2]
    folder = tmp_path / "new" / "pairs"
    data = Data(sets=(FileSet(source=("source",), target=("target",)),), folder=str(folder))
    found = find_pairs(data, PairAxes("YX"))
    assert len(found) == 3
    made = list(pairs_.make_pairs(ready, 5))
    for pair, expected in zip(found, made, strict=True):
        np.testing.assert_array_equal(pair.source.array(), expected.source)
        np.testing.assert_array_equal(pair.target.array(), expected.target)
        assert pair.source.pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1})
    rows = list(csv.DictReader(table.read_text(encoding="utf8").splitlines()))
    assert [row["name"] for row in rows] == ["00000.tif", "00001.tif", "00002.tif"]
    assert float(rows[1]["camera.photons"]) == made[1].parameters["camera.photons"]
    assert (rows[0]["seed"], rows[2]["pair"]) == ("5", "2")


@pytest.mark.parametrize(
    ("changes", "source", "target"),
    [
        (
            {"task": "upsample", "factor": 4},
            ("ZYX", {"Z": 1.2, "Y": 0.1, "X": 0.1}),
            ("ZYX", {"Z": 0.3, "Y": 0.1, "X": 0.1}),
        ),
        (
            {"task": "project", "structures": {"kind": "epithelium", "cell_diameter_um": 2.0, "second": "none"}},
            ("ZYX", {"Z": 0.3, "Y": 0.1, "X": 0.1}),
            ("YX", {"Y": 0.1, "X": 0.1}),
        ),
    ],
)
def test_axes_and_pixel_sizes_are_those_of_the_task(tmp_path, changes, source, target):
    volume = {
        "shape": [32, 48, 48],
        "pixel_size_um": [0.3, 0.1, 0.1],
        "psf": TUBULES["psf"] | {"sigma_z_um": 0.4},
        "n_pairs": 1,
    }
    write_pairs(prepare(describe(TUBULES | volume | changes), Path()), tmp_path, seed=0)
    for part, (axes, size_um) in (("source", source), ("target", target)):
        image = open_image(tmp_path / part / "00000.tif")
        assert image.axes == axes
        assert image.pixel_size_um == pytest.approx(size_um)


def test_two_simulations_are_not_mixed(tmp_path):
    ready = prepare(describe(TUBULES), Path())
    write_pairs(ready, tmp_path, seed=0)
    before = (tmp_path / "parameters.csv").read_text()
    with pytest.raises(InputError, match="holds pairs of another simulation"):
        write_pairs(ready, tmp_path, seed=1)
    (tmp_path / "simulation.yaml").unlink()
    with pytest.raises(InputError, match=r"is not empty \(it has 0000\d.tif\)"):
        write_pairs(ready, tmp_path, seed=1)
    assert (tmp_path / "parameters.csv").read_text() == before


def test_an_interrupted_folder_is_completed_and_made_pairs_are_kept(tmp_path, monkeypatch):
    ready = prepare(describe(TUBULES), Path())
    whole = write_pairs(ready, tmp_path / "whole", seed=3).read_text()

    def stop(i, _):
        if i == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(files_, "_SECONDS_BETWEEN_TABLES", -1.0)
    with pytest.raises(KeyboardInterrupt):
        write_pairs(ready, tmp_path / "again", seed=3, on_pair=stop)
    assert files_.count_written(tmp_path / "again") == 1
    seen = []
    table = write_pairs(ready, tmp_path / "again", seed=3, on_pair=lambda i, _: seen.append(i))
    assert seen == [1, 2]
    assert table.read_text() == whole


def test_a_place_that_cannot_be_a_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="cannot make the folder"):
        write_pairs(prepare(describe(TUBULES), Path()), tmp_path / "file", seed=0)


def test_noise_is_fitted_from_a_file_of_frames():
    fit = fit_files([IMAGES / "photons_tyx_imagej.tif"], is_repeats=True)
    assert fit.gain.value == pytest.approx(1.05, abs=0.1)
    assert fit_files([IMAGES / "photons_tyx_imagej.tif"], is_repeats=True, offset=0.0).offset == (0.0, 0.0)


def test_noise_is_fitted_from_a_noisy_and_a_clean_file(tmp_path):
    rng = np.random.default_rng(0)
    clean = (np.outer(np.linspace(1, 60, 200), np.ones(200)) * np.ones((2, 1, 1))).astype(np.float32)
    noisy = (3 * rng.poisson(clean) + 50).astype(np.uint16)
    tifffile.imwrite(tmp_path / "clean.tif", clean, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "noisy.tif", noisy, imagej=True, metadata={"axes": "CYX"})
    fit = fit_files([tmp_path / "noisy.tif", tmp_path / "clean.tif"], is_repeats=False, channel=1)
    assert fit.gain.value == pytest.approx(3.0, rel=0.05)
    assert fit.offset.value == pytest.approx(50.0, abs=1.5)
    with pytest.raises(DataError, match="has 2 channel"):
        fit_files([tmp_path / "noisy.tif", tmp_path / "clean.tif"], is_repeats=False, channel=2)


def test_a_file_without_frames_is_refused():
    with pytest.raises(DataError, match=r"expected repeated frames along T, found axes ZYX .*--axes TYX"):
        fit_files([IMAGES / "nuclei_zyx_imagej.tif"], is_repeats=True)
