"""What CARE Evaluate does, without KNIME."""

import numpy as np
import packages
import pytest

import carezoo
from carezoo import files
from carezoo.errors import Cancelled, InputError
from carezoo.image import Image
from carezoo.metrics import score
from carezoo.package.write import write_package
from carezoo_knime.scoring import ScoredRow, score_rows


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    clean = packages.picture((2, 40, 50)).astype(np.float32)
    for name, spread in {"reference": 0.0, "restored": 20.0, "noisy": 90.0}.items():
        pixels = (clean + rng.normal(0, spread, clean.shape)).astype(np.float32)
        files.write_image(tmp_path / f"{name}.tif", Image(pixels, "TYX"))
        files.write_image(tmp_path / f"{name}_plane.tif", Image(pixels[0], "YX"))
    return tmp_path


def row(folder, suffix="", **changes):
    names = {"restored": "restored", "reference": "reference", "noisy": "noisy"}
    return {**{key: str(folder / f"{name}{suffix}.tif") for key, name in names.items()}, **changes}


def test_scores_are_those_of_python(images):
    (found,) = score_rows([row(images, "_plane")])
    restored, reference, noisy = (
        files.open_image(images / f"{name}_plane.tif").array() for name in ("restored", "reference", "noisy")
    )
    expected, before = score(restored, reference), score(noisy, reference)
    assert (found.psnr_db, found.nrmse, found.ssim) == (expected.psnr_db, expected.nrmse, expected.ssim)
    assert found.input_psnr_db == before.psnr_db
    assert found.psnr_gain_db == pytest.approx(expected.psnr_db - before.psnr_db)
    assert found.psnr_gain_db > 5
    assert abs(found.gain_error) < 0.05
    assert found.error is None


def test_series_are_scored_frame_by_frame_and_without_noisy_images_there_is_no_gain(images):
    given = row(images)
    del given["noisy"]
    (found,) = score_rows([given])
    restored, reference = (files.open_image(images / f"{name}.tif").array() for name in ("restored", "reference"))
    frames = [score(restored[t], reference[t]).psnr_db for t in (0, 1)]
    assert found.psnr_db == pytest.approx(np.mean(frames))
    assert (found.input_psnr_db, found.psnr_gain_db, found.gain_error) == (None, None, None)
    (whole,) = score_rows([row(images)])
    assert whole.psnr_db == pytest.approx(found.psnr_db)
    assert whole.input_psnr_db < whole.psnr_db


def test_noisy_frames_are_averaged_as_the_restored_ones_were(tmp_path):
    model = carezoo.load(write_package(packages.denoise_2d(), tmp_path / "model.zip"))
    noisy = packages.picture((5, 40, 50))
    files.write_image(tmp_path / "noisy.tif", Image(noisy, "TYX"))
    files.write_image(tmp_path / "reference.tif", Image(np.stack([noisy[:2].mean(0), noisy[2:4].mean(0)]), "TYX"))
    restored = model.restore_file(tmp_path / "noisy.tif", average=2)
    paths = {"restored": str(restored), "reference": "reference.tif", "noisy": "noisy.tif"}
    (row,) = score_rows([paths], folder=tmp_path)
    assert row.error is None
    assert row.input_psnr_db > 100  # the means themselves


def test_a_pair_that_cannot_be_scored_is_a_row_that_says_so(images):
    files.write_image(images / "flat.tif", Image(np.zeros((40, 50), np.float32), "YX"))
    rows = [
        row(images, reference=str(images / "reference_plane.tif")),
        row(images, "_plane", reference=str(images / "missing.tif")),
        row(images, "_plane", reference=None),
        row(images, "_plane", reference=str(images / "flat.tif")),
        row(images, "_plane"),
    ]
    found = score_rows(rows)
    said = ["only images of one shape", "does not exist", "no path", "is constant"]
    for each, words in zip(found[:4], said, strict=True):
        assert words in each.error
        assert each == ScoredRow(error=each.error)
    assert found[4].error is None
    with pytest.raises(InputError, match="only images of one shape"):
        score_rows(rows, is_strict=True)


def test_progress_and_stopping(images):
    told = []
    with pytest.raises(Cancelled, match="stopped before row 2 of 3"):
        score_rows(
            [row(images, "_plane")] * 3,
            progress=lambda *step: told.append(step),
            cancelled=lambda: bool(told),
        )
    assert told == [(1, 3, "1 of 3")]
