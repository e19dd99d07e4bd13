from __future__ import annotations

import json
import logging
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from carezoo.errors import InputError, PixelError
from carezoo.evaluate.scores import evaluate_pairs, to_dict, to_json, to_markdown_table
from carezoo.metrics import fit_affine, mean_scores, score

PAIR = np.load(Path(__file__).parent / "bpae_mito_20x.npz")
LOW, HIGH = PAIR["low"], PAIR["high"]
RESTORED = gaussian_filter(LOW.astype(np.float32), 1)


def halves():
    """Yield the real pair as two files, one restored better than the other."""
    for name, columns, sigma in (("left.tif", slice(0, 48), 1), ("right.tif", slice(48, 96), 2)):
        low = LOW[:, columns]
        yield name, low, gaussian_filter(low.astype(np.float32), sigma), HIGH[:, columns]


def test_smoothing_a_real_noisy_image_gains():
    evaluation = evaluate_pairs([("mito.tif", LOW, RESTORED, HIGH)])
    assert evaluation.psnr_gain_db > 3
    assert evaluation.restored.mean.ssim > evaluation.input.mean.ssim + 0.1
    assert abs(evaluation.intensities.mean.gain_error) < 0.15
    assert evaluation.psnr_gain_standard_error_db is None


def test_rows_and_means_are_those_of_the_metrics():
    evaluation = evaluate_pairs(halves())
    assert [file.name for file in evaluation.files] == ["left.tif", "right.tif"]
    for file, (_, low, restored, high) in zip(evaluation.files, halves(), strict=True):
        assert file.input == score(low, high)
        assert file.restored == score(restored, high)
        assert file.psnr_gain_db == file.restored.psnr_db - file.input.psnr_db
    assert evaluation.restored == mean_scores([file.restored for file in evaluation.files])
    gains = [file.psnr_gain_db for file in evaluation.files]
    assert evaluation.psnr_gain_db == pytest.approx(sum(gains) / 2)
    assert evaluation.psnr_gain_standard_error_db == pytest.approx(abs(gains[0] - gains[1]) / 2)


def test_intensities_are_judged_in_the_units_of_the_input():
    fit = fit_affine(HIGH, LOW)
    ideal = HIGH * fit.gain + fit.offset
    (file,) = evaluate_pairs([("ideal", LOW, ideal, HIGH)]).files
    assert (file.intensities.gain_error, file.intensities.offset_error) == pytest.approx((0, 0), abs=1e-6)
    (file,) = evaluate_pairs([("half", LOW, ideal / 2, HIGH)]).files
    assert file.intensities.gain_error == pytest.approx(-0.5, abs=1e-6)


def test_one_pair_is_in_memory_at_a_time():
    restored: list[weakref.ref[np.ndarray]] = []

    def pair(name: str):
        image = RESTORED.copy()
        restored.append(weakref.ref(image))
        return name, LOW, image, HIGH

    def pairs():
        for name in "abc":
            assert [image() for image in restored] == [None] * len(restored)
            yield pair(name)

    assert len(evaluate_pairs(pairs()).files) == 3


def test_json_holds_everything_and_is_strict():
    evaluation = evaluate_pairs(halves())
    read = json.loads(to_json(evaluation))
    assert read == to_dict(evaluation)
    assert read["n"] == 2
    assert read["restored"]["mean"]["psnr_db"] == evaluation.restored.mean.psnr_db
    assert read["restored"]["standard_error"]["ssim"] == evaluation.restored.standard_error.ssim
    assert read["files"][1]["name"] == "right.tif"
    assert read["files"][1]["input"]["gain"] == evaluation.files[1].input.gain
    assert read["files"][1]["intensities"]["gain_error"] == evaluation.files[1].intensities.gain_error


def test_json_of_perfect_and_thin_images_has_null():
    thin = np.stack([LOW, HIGH, LOW])
    evaluation = evaluate_pairs([("a", thin, thin[::-1], thin[::-1]), ("b", thin, thin, thin)])
    read = json.loads(to_json(evaluation))
    assert read["files"][0]["restored"]["psnr_db"] is None
    assert read["files"][0]["restored"]["nrmse"] == 0
    assert read["restored"]["mean"]["ssim"] is None
    assert math.isnan(evaluation.files[1].psnr_gain_db)
    assert read["psnr_gain_db"] is None


def test_table_shows_every_file_and_the_mean():
    evaluation = evaluate_pairs(halves())
    text = to_markdown_table(evaluation)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {6}
    left, mean = evaluation.files[0], evaluation.restored
    assert rows[2][:2] == ["left.tif", f"{left.input.psnr_db:.2f} → {left.restored.psnr_db:.2f}"]
    assert rows[4][0] == "**mean of 2**"
    assert rows[4][3].endswith(f"→ {mean.mean.ssim:.3f} ± {mean.standard_error.ssim:.3f}")
    assert f"mean gain in PSNR {evaluation.psnr_gain_db:.2f} ±" in text
    assert f"{mean.mean.ssim_care2018:.3f} ± {mean.standard_error.ssim_care2018:.3f}." in text
    assert "7 pixels" not in text
    assert "inverted" not in text


def test_table_of_one_thin_image():
    thin = np.stack([LOW, HIGH, LOW])
    text = to_markdown_table(evaluate_pairs([("a|b.tif", thin, gaussian_filter(thin, 1), thin)]))
    assert "| a\\|b.tif |" in text
    assert "| – → – |" in text
    assert "at least 7 pixels along every axis" in text
    assert "mean of" not in text


def test_an_inverted_restoration_is_told(caplog):
    with caplog.at_level(logging.WARNING, "carezoo"):
        evaluation = evaluate_pairs([("upside.tif", LOW, 255 - RESTORED, HIGH)])
    assert "upside.tif: the restored image fits its target with gain -0.0" in caplog.text
    assert "**Unrelated or inverted** (gain of the fit not positive): upside.tif." in to_markdown_table(evaluation)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        ((LOW[:50], RESTORED, HIGH), InputError, "cell.tif: noisy image and target must have the same shape"),
        ((LOW, RESTORED[:50], HIGH), InputError, "cell.tif: restored image and target must have the same shape"),
        ((LOW, RESTORED * np.nan, HIGH), PixelError, "cell.tif: restored image has 9216 NaN"),
        ((LOW, RESTORED, np.zeros_like(HIGH)), InputError, "cell.tif: target is constant"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(images, error, words):
    with pytest.raises(error, match=words):
        evaluate_pairs([("cell.tif", *images)])


def test_no_pairs():
    with pytest.raises(InputError, match="at least one pair"):
        evaluate_pairs([])
