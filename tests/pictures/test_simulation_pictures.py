"""Contact sheets and noise plots: one file each, the same bytes for the same content."""

import io

import numpy as np
import pytest

from carezoo.errors import InputError
from carezoo.noise import measure
from carezoo.pictures.simulation import contact_sheet, noise_plot

matplotlib_image = pytest.importorskip("matplotlib.image", reason="needs the extra evaluate")


def pair(shape=(48, 60), seed=0):
    rng = np.random.default_rng(seed)
    target = 100 + 50 * rng.random(shape) ** 8
    return rng.poisson(target).astype(np.uint16), target.astype(np.float32), {"camera.photons": 12.5, "noise": np.nan}


def size(png):
    return matplotlib_image.imread(io.BytesIO(png)).shape[:2]


def test_a_contact_sheet_has_a_row_for_each_pair(tmp_path):
    one, two = contact_sheet([pair()]), contact_sheet([pair(), pair(seed=1)], tmp_path / "sheet.png")
    assert size(two)[0] - size(one)[0] == pytest.approx(250, abs=2)
    assert (tmp_path / "sheet.png").read_bytes() == two
    assert contact_sheet([pair()]) == one
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    ("source", "target"),
    [((8, 40, 50), (8, 40, 50)), ((8, 40, 50), (40, 50)), ((2, 40, 50), (2, 40, 50)), ((4, 40, 50), (16, 40, 50))],
)
def test_stacks_channels_and_projections_are_shown(source, target):
    png = contact_sheet([(pair(source)[0], pair(target)[1], {})])
    assert matplotlib_image.imread(io.BytesIO(png))[..., :3].std() > 0.05


def test_a_contact_sheet_needs_a_pair():
    with pytest.raises(InputError, match="at least one pair"):
        contact_sheet([])


def test_a_noise_plot_shows_the_fit(tmp_path):
    rng = np.random.default_rng(0)
    scene = 100 * np.outer(np.linspace(0, 1, 128), np.ones(128))
    fit = measure.fit_repeats(rng.poisson(scene, (5, 128, 128)))
    png = noise_plot(fit, tmp_path / "noise.png")
    assert (tmp_path / "noise.png").read_bytes() == png
    assert size(png) == (620, 760)
    other = measure.fit_repeats(2 * rng.poisson(scene, (5, 128, 128)))
    assert noise_plot(other) != png
