from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread
from scipy.ndimage import gaussian_filter

from carezoo.errors import InputError, MissingExtraError
from carezoo.metrics import Scores
from carezoo.pictures import before_after as before_after_
from carezoo.pictures import display
from carezoo.pictures.before_after import before_after, cover, curves

SCORES = Scores(21.0, 0.09, 0.4, 0.5, 1.0, 0.0)


@pytest.fixture(scope="module")
def trio() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    clean = 500 * gaussian_filter(rng.random((512, 512)), 4)
    clean[300:] = clean[300]
    noisy = clean + rng.normal(0, 30, clean.shape)
    return noisy, gaussian_filter(noisy, 2), clean


def pixels(png: bytes) -> np.ndarray:
    """Return the picture as 8-bit RGB."""
    return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255).astype(int)


def grey(plane: np.ndarray) -> np.ndarray:
    """Return what a grey panel of `plane` should hold."""
    low, high = display.display_range(plane.astype(np.float32))
    return np.clip(np.floor((plane - low) / (high - low) * 256), 0, 255)


def chunks(png: bytes) -> set[str]:
    found, position = set(), 8
    while position < len(png):
        length, name = struct.unpack(">I4s", png[position : position + 8])
        found.add(name.decode())
        position += 12 + length
    return found


def is_mark(picture: np.ndarray) -> np.ndarray:
    return (np.abs(picture - np.array([0xFF, 0xB0, 0x00])) < 40).all(axis=-1)


def test_panels_hold_the_images_pixel_by_pixel(trio):
    picture = pixels(before_after(*trio))
    for column, image in enumerate(trio):
        left = 8 + column * 520
        shown = picture[30:542, left : left + 512]
        expected = grey(image)
        is_image = (shown.max(axis=-1) - shown.min(axis=-1)) == 0  # all but the frame
        assert is_image.mean() > 0.98
        assert np.abs(shown[..., 0] - expected)[is_image].max() <= 1


def test_the_region_with_most_structure_of_the_clean_image_is_framed_and_enlarged(trio):
    picture = pixels(before_after(*trio))
    rows, columns = display.informative_region(trio[2].astype(np.float32), (128, 128))
    assert rows.stop <= 301  # below, the clean image has stripes only
    for column, image in enumerate(trio):
        left = 8 + column * 520
        frame = np.argwhere(is_mark(picture[30:542, left : left + 512]))
        np.testing.assert_allclose(frame.min(axis=0), (rows.start, columns.start), atol=2)
        np.testing.assert_allclose(frame.max(axis=0), (rows.stop, columns.stop), atol=2)
        enlarged = picture[550 + 2 : 550 + 512 : 4, left + 2 : left + 512 : 4, 0]
        difference = np.abs(enlarged - grey(image[rows, columns]))[2:-2, 2:-2]
        assert difference.max() <= 1


def test_scale_bar_has_the_length_it_says(trio):
    without, with_bar = (pixels(before_after(*trio, pixel_size_um=size)) for size in (None, 0.1))
    # 512 pixels are 51.2 um, a quarter is 12.8: the bar says 10 um and is 100 pixels; 128 enlarged four times: 2 um.
    for top, bottom, length in ((470, 542, 100), (980, 1062, 80)):
        changed = np.argwhere((without != with_bar)[top:bottom, 8:520].all(axis=-1))
        lowest = changed[changed[:, 0] > changed[:, 0].max() - 4, 1]
        assert np.ptp(lowest) == pytest.approx(length, abs=3)
    np.testing.assert_array_equal(without[:, 528:], with_bar[:, 528:])


def test_scores_stand_below_the_titles(trio):
    plain, scored = (pixels(before_after(*trio, scores=scores)) for scores in ((None,) * 3, (SCORES, SCORES, None)))
    assert scored.shape[0] == plain.shape[0] + 20
    np.testing.assert_array_equal(scored[50:562], plain[30:542])
    lines = scored[30:50]
    assert (lines[:, :1040].min(axis=(0, 2)) < 200).sum() > 200
    assert (lines[:, 1040:] == 255).all()


def test_a_volume_is_its_maximum_projection_and_the_title_says_so(trio):
    restored = trio[1]
    volume = np.stack([restored - 50, restored, restored - 9])
    flat, deep = (pixels(before_after(trio[0], image)) for image in (restored, volume))
    np.testing.assert_array_equal(flat[30:], deep[30:])
    assert (flat[:30] != deep[:30]).any()


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 3), (95, 300), (100, 300), (1500, 120), (700, 700)])
def test_any_size_gives_a_picture_of_sensible_size(shape):
    image = np.random.default_rng(0).random(shape)
    height, width, _ = pixels(before_after(image, image, pixel_size_um=0.2)).shape
    assert 2 * 360 <= width <= 2 * 660
    assert 50 < height < 1800


def test_small_images_are_shown_whole_only(trio):
    small, large = (pixels(before_after(*(image[:n, :n] for image in trio))) for n in (95, 96))
    assert not is_mark(small).any()
    assert is_mark(large).any()


def test_same_pixels_same_bytes_whatever_the_settings_of_matplotlib(trio):
    first = before_after(*trio, pixel_size_um=0.1), cover(*trio[:2])
    with matplotlib.rc_context({"figure.facecolor": "red", "font.size": 30, "savefig.bbox": "tight"}):
        mine = dict(matplotlib.rcParams)
        assert (before_after(*trio, pixel_size_um=0.1), cover(*trio[:2])) == first
        assert dict(matplotlib.rcParams) == mine
    for png in first:
        assert chunks(png) <= {"IHDR", "pHYs", "IDAT", "IEND"}


def test_cover_is_half_noisy_half_restored(trio):
    noisy, restored, _ = trio
    picture = pixels(cover(noisy, restored))
    assert picture.shape == (256, 512, 3)
    region = display.informative_region(restored.astype(np.float32), (128, 256), in_both_halves=True)
    before, after = (np.kron(grey(image[region]), np.ones((2, 2))) for image in (noisy, restored))
    np.testing.assert_allclose(picture[:200, :220, 0], before[:200, :220], atol=1)
    np.testing.assert_allclose(picture[:200, 290:, 0], after[:200, 290:], atol=1)


@pytest.mark.parametrize("shape", [(1, 1), (66, 85), (40, 2000), (3000, 60), (12, 300, 300)])
def test_cover_of_any_size_fits(shape):
    image = np.random.default_rng(0).random(shape)
    height, width, _ = pixels(cover(image, image)).shape
    assert width <= 512
    assert width > 250
    assert width == 2 * height or shape == (1, 1)


def test_curves_draw_both_losses_and_the_rate():
    rows = [
        {"epoch": i, "train_loss": 1 / i, "val_loss": 1.2 / i + 0.01 * i, "learning_rate": 4e-4 / i}
        for i in range(1, 30)
    ]
    picture = pixels(curves(rows))

    def n_of(color: tuple[int, int, int], image: np.ndarray) -> int:
        return int((np.abs(image - np.array(color)) < 30).all(axis=-1).sum())

    blue, orange = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    assert n_of(blue, picture) > 300
    assert n_of(orange, picture) > 300
    without_validation = pixels(curves([{**row, "val_loss": ""} for row in rows]))
    assert n_of(orange, without_validation) == 0
    assert n_of(blue, without_validation) > 300


@pytest.mark.parametrize(
    "rows",
    [
        [{"epoch": "1", "train_loss": "0.5", "val_loss": "", "learning_rate": None}],
        [
            {"epoch": 1, "train_loss": -3.0, "val_loss": -2.0},
            {"epoch": 2, "train_loss": -4.0, "val_loss": float("nan")},
        ],
        [{"epoch": i, "train_loss": 0.3} for i in range(3)],
    ],
)
def test_curves_of_short_and_incomplete_logs(rows):
    assert pixels(curves(rows)).shape == (520, 800, 3)


@pytest.mark.parametrize(
    ("losses", "rate", "scales"),
    [
        ((1.0, 0.5), "", []),
        ((1.0, 0.09), "", ["log"]),
        ((1.0, 0.0), "", []),
        ((2.0, -40.0), "", []),
        ((-0.2, -40.0), "", []),
        ((1.0, 0.5), 4e-4, ["log"]),
    ],
)
def test_curves_are_logarithmic_where_that_helps(losses, rate, scales, monkeypatch):
    asked = []
    monkeypatch.setattr(Axes, "set_yscale", lambda _, scale: asked.append(scale))
    curves([{"epoch": i, "train_loss": loss, "learning_rate": rate} for i, loss in enumerate(losses)])
    assert asked == scales


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "loss": 3.0}], [{"epoch": 1, "train_loss": ""}]])
def test_curves_of_nothing(rows):
    with pytest.raises(InputError, match="rows with epoch and train_loss"):
        curves(rows)


def test_the_file_holds_the_bytes(tmp_path, trio):
    path = tmp_path / "cover.png"
    path.write_bytes(b"old")
    assert cover(*trio[:2], path=path) == path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path, trio, monkeypatch):
    path = tmp_path / "cover.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"cannot replace .*cover\.png: No space left"):
        cover(*trio[:2], path=path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_different_fields_are_told(trio):
    with pytest.raises(InputError, match=r"same field; found Y and X of \[\(512, 512\), \(512, 500\)\]"):
        before_after(trio[0], trio[1][:, :500])


def test_a_missing_title_is_told(trio):
    with pytest.raises(InputError, match="3 panels need as many titles and scores; found 2 and 3"):
        before_after(*trio, titles=("Noisy", "Restored"))


def test_missing_matplotlib_is_told(trio, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'matplotlib .* to draw pictures .* "carezoo\[evaluate\]"'):
        cover(*trio[:2])


def test_pyplot_is_not_touched():
    code = (
        "import sys, numpy; from carezoo.pictures.before_after import cover\n"
        "cover(numpy.eye(40), numpy.eye(40)); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_panel_widths_are_whole_multiples_where_possible():
    widths = {n: before_after_._panel_size((n, n))[0] for n in (64, 128, 256, 400, 512, 700, 1024, 2048)}
    assert widths == {64: 512, 128: 512, 256: 512, 400: 400, 512: 512, 700: 640, 1024: 512, 2048: 512}
