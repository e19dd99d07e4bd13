"""Flicker videos: what is drawn, between which intensities, and the files."""

import subprocess

import numpy as np
import packages
import pytest

from carezoo import files
from carezoo.cli.main import run
from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo.pictures import display, flicker
from carezoo.pictures.view import View
from carezoo.uncertainty.laplace import Laplace

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason='needs the extra "video"')
imageio = pytest.importorskip("imageio.v2", reason='needs the extra "video"')


def view(shape=(300, 280), *, sure=None):
    mean = np.random.default_rng(0).uniform(100, 200, shape).astype(np.float32)
    scale = np.full(shape, 5.0, np.float32)
    if sure is not None:
        scale[sure] = 1e-6
    return View("image", mean, mean, scale, None, Laplace(mean, scale), {}, {})


def test_frames_flicker_where_the_model_is_unsure_and_stand_still_elsewhere():
    left = (..., slice(0, 140))
    shown = flicker.frames(view(sure=left), n=6)
    assert shown.shape == (6, 300, 280)
    spread = np.ptp(shown.astype(int), axis=0)
    assert spread[left].max() == 0
    assert np.median(spread[..., 140:]) > 20
    np.testing.assert_array_equal(shown, flicker.frames(view(sure=left), n=6))
    assert not np.array_equal(shown, flicker.frames(view(sure=left), n=6, seed=1))


def test_all_frames_have_the_range_of_the_mean():
    each = view(sure=(..., slice(None)))
    low, high = display.display_range(each.restored)
    expected = np.rint(255 * np.clip((each.restored - low) / (high - low), 0, 1))
    np.testing.assert_allclose(flicker.frames(each, n=1)[0], expected, atol=1)


def test_a_plane_of_a_stack_or_the_maximum_of_what_is_drawn():
    each = view((4, 256, 256), sure=(slice(0, 3),))
    still, moving, projected = (np.ptp(flicker.frames(each, z, n=3).astype(int), axis=0).max() for z in (0, 3, None))
    assert still == 0
    assert moving > 20
    assert projected > 20
    with pytest.raises(InputError, match="z=9 is asked for, but Z is 0 to 3"):
        flicker.frames(each, 9)


def test_sizes_on_screen():
    assert flicker.frames(view((50, 64)), n=1).shape == (1, 200, 256)
    assert flicker.frames(view((3000, 20)), n=1).shape == (1, 1000, 7)


def _frames(video):
    if video.suffix == ".gif":
        return imageio.mimread(video)
    # imageio's reader leaves its pipes open.
    decode = ["-v", "error", "-i", str(video), "-f", "image2pipe", "-pix_fmt", "gray", "-c:v", "pgm", "-"]
    data = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *decode], capture_output=True, check=True).stdout
    columns, rows = map(int, data.split(b"\n", 2)[1].split())
    header = len(b"P5\n%d %d\n255\n" % (columns, rows))
    frames = np.frombuffer(data, np.uint8).reshape(-1, header + rows * columns)[:, header:]
    return frames.reshape(-1, rows, columns)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_restore_writes_a_video(tmp_path, suffix):
    model = write_package(packages.ensemble_2d(), tmp_path / "model.zip")
    files.write_image(tmp_path / "cell.tif", Image(packages.picture((65, 49)), "YX"))
    video = tmp_path / f"cell{suffix}"
    arguments = ["restore", str(tmp_path / "cell.tif"), "-m", str(model), "--flicker", str(video), "--threads", "1"]
    assert run(arguments) == 0
    shown = _frames(video)
    assert len(shown) == flicker.N_FRAMES[suffix]
    assert shown[0].shape[0] in {65 * 3, 65 * 3 + 1, 65 * 5, 65 * 5 + 1}
    assert np.abs(shown[0].astype(int) - shown[1]).mean() > 1


def test_what_cannot_flicker_is_told_before_any_work(tmp_path, capsys):
    model = write_package(packages.denoise_2d(), tmp_path / "model.zip")
    files.write_image(tmp_path / "cell.tif", Image(packages.picture((64, 48)), "YX"))
    start = ["restore", str(tmp_path / "cell.tif"), "-m", str(model), "--flicker"]
    for name, words in (("out.avi", "ends in .mp4 or .gif"), ("out.gif", "is not probabilistic")):
        assert run([*start, str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "cell_restored.tif").exists()
