"""From a description to pairs: what is asked is made, the same for the same seed, and mistakes end before the work."""

import pickle
import shutil
from collections import namedtuple
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.errors import AxesError, CarezooError, DataError, InputError, RecipeError
from carezoo.simulate import pairs as pairs_
from carezoo.simulate.camera import PixelMaps
from carezoo.simulate.pairs import describe, make_pair, make_pairs, prepare
from carezoo.simulate.psf_section import draw_source_psf

CAMERA = {"photons": {"log": [10, 200]}}
PSF = {"kind": "gaussian", "sigma_um": [0.1, 0.15]}
PSF_3D = PSF | {"sigma_z_um": 0.4}
TUBULES = {"structures": {"kind": "tubules"}, "psf": PSF, "camera": CAMERA, "shape": [64, 64]}
VOLUME = {"psf": PSF_3D, "shape": [9, 9, 9], "pixel_size_um": [0.3, 0.1, 0.1]}
EPITHELIUM = {
    "task": "project",
    "structures": {"kind": "epithelium", "cell_diameter_um": 3.0},
    "psf": PSF_3D,
    "camera": CAMERA,
    "shape": [30, 48, 48],
    "pixel_size_um": [0.5, 0.2, 0.2],
}
ISOTROPIC = {
    "task": "isotropic",
    "factor": 10.2,
    "axial_psfs": {"kind": "widths", "axial_um": 0.6, "lateral_um": 0.2},
    "camera": CAMERA,
    "pixel_size_um": [0.25, 0.25],
}


def prepared(description, folder=Path(), **more):
    return prepare(describe(description | more), folder)


@pytest.fixture
def clean(tmp_path):
    """A folder of clean images: two single channels, a two-channel one, and a stack with its height map."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :90]
    image = 1000 * np.exp(-((y - 40) ** 2 + (x - 30) ** 2) / 300) + rng.random((80, 90)) * 10
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"plain_{name}.tif", image.astype(np.float32))
    both = np.stack([image, image[::-1]]).astype(np.float32)
    tifffile.imwrite(tmp_path / "channels.tif", both, imagej=True, metadata={"axes": "CYX"})
    z = np.arange(12)[:, None, None]
    height = 5 + 2 * np.sin(x / 15)
    stack = image * np.exp(-((z - height) ** 2) / 4)
    tifffile.imwrite(tmp_path / "stack.tif", stack.astype(np.float32), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "height.tif", height.astype(np.float32))
    return tmp_path


def test_pair_i_depends_on_seed_and_i_alone():
    ready = prepared(TUBULES)
    in_order = list(make_pairs(ready, 3, range(4)))
    backwards = [make_pair(prepared(TUBULES), 3, i) for i in (3, 2, 1, 0)][::-1]
    for first, second in zip(in_order, backwards, strict=True):
        np.testing.assert_array_equal(first.source, second.source)
        np.testing.assert_array_equal(first.target, second.target)
        assert first.parameters == second.parameters
    assert (make_pair(ready, 4, 0).source != in_order[0].source).any()
    assert (in_order[1].source != in_order[0].source).any()


def test_what_is_prepared_can_be_sent_to_worker_processes(clean):
    description = {"images": "plain_*.tif", "camera": CAMERA, "shape": [32, 32]}
    ready = prepared(description, clean)
    again = pickle.loads(pickle.dumps(ready))
    np.testing.assert_array_equal(make_pair(again, 0, 5).source, make_pair(ready, 0, 5).source)


def test_n_pairs_are_made_unless_others_are_asked_for():
    assert len(list(make_pairs(prepared(TUBULES, n_pairs=3), 0))) == 3


@pytest.mark.parametrize("kind", ["tubules", "granules", "nuclei", "epithelium"])
@pytest.mark.parametrize("n_axes", [2, 3])
def test_every_structure_in_two_and_three_dimensions(kind, n_axes):
    made = make_pair(
        prepared(
            {
                "structures": {"kind": kind},
                "psf": PSF_3D if n_axes == 3 else PSF,
                "camera": CAMERA | {"photons": 500},
                "shape": [32, 72, 64][-n_axes:],
                "pixel_size_um": [0.6, 0.25, 0.25][-n_axes:],
            }
        ),
        0,
        0,
    )
    assert made.source.shape == made.target.shape == tuple([32, 72, 64][-n_axes:])
    assert made.source.dtype == np.uint16
    assert made.target.dtype == np.float32
    # Same grey levels, same place.
    assert np.corrcoef(made.source.ravel(), made.target.ravel())[0, 1] > 0.5
    # The darkest pixel has the uniform light of its source, a share of the photons of the structure.
    uniform = made.parameters["background.level"] * 500 * made.parameters["camera.gain"]
    assert made.target.min() == pytest.approx(100 + uniform, abs=1 + 0.02 * uniform)
    assert any(name.startswith(f"{kind}.") for name in made.parameters)
    assert {"camera.photons", "camera.gain", "psf.sigma_um", "background.haze"} <= set(made.parameters)


def test_several_structures_add_up():
    both = make_pair(prepared(TUBULES, structures=[{"kind": "tubules"}, {"kind": "granules"}]), 0, 0)
    assert {"tubules.density", "granules.density"} <= set(both.parameters)


def test_the_target_is_sharper_than_the_source_and_no_skeleton():
    dark = dict.fromkeys(("level", "texture", "haze", "vesicle_density"), 0)
    made = make_pair(prepared(TUBULES, shape=[128, 128], camera={"photons": 1e6}, background=dark), 0, 0)
    assert made.target.max() > 1.3 * made.source.max()
    # A skeleton would be black beside every bright pixel.
    brightest = np.argwhere(made.target == made.target.max())[0]
    y, x = np.clip(brightest, 1, 126)
    assert np.sort(made.target[y - 1 : y + 2, x - 1 : x + 2].ravel())[-2] > 0.5 * made.target.max()


@pytest.mark.parametrize(
    ("changes", "sigma_um"),
    [
        ({}, (0.06, 0.06)),
        ({"psf": {"kind": "gaussian", "sigma_um": [0.2, 0.3]}}, (0.1, 0.1)),
        ({"target_sigma_um": 0.08}, (0.08, 0.08)),
        ({"psf": PSF_3D, "shape": [9, 9, 9], "pixel_size_um": [0.3, 0.1, 0.1]}, (0.4, 0.06, 0.06)),
        (
            {"psf": PSF_3D, "shape": [9, 9, 9], "pixel_size_um": [0.3, 0.1, 0.1], "target_sigma_z_um": 0.2},
            (0.2, 0.06, 0.06),
        ),
    ],
)
def test_targets_have_half_the_narrowest_width_or_the_one_given(changes, sigma_um):
    simulation = describe(TUBULES | changes)
    source, _ = draw_source_psf(simulation.psf, None, simulation.pixel_size_um, np.random.default_rng(0))
    assert simulation.target_psf(source).sigma_um == pytest.approx(sigma_um)


def test_targets_may_be_the_sources_without_their_noise():
    camera = {"photons": 100, "background": 30, "gain": 2, "offset": 50, "read_noise": 1, "bit_depth": None}
    changes = {"shape": [200, 200], "camera": camera, "background": {"level": 0.5, "texture": 0.2, "haze": 0.5}}
    made = make_pair(prepared(TUBULES, targets="source", **changes), 0, 0)
    noise = made.source - made.target
    assert abs(noise.mean()) < 0.02 * 2 * 30
    # Poisson noise of the light and read noise, in grey levels, and no structure left.
    expected = 2 * np.sqrt((made.target - 50) / 2 + 1)
    assert np.std(noise / expected) == pytest.approx(1, rel=0.03)
    assert abs(np.corrcoef(noise.ravel(), made.target.ravel())[0, 1]) < 0.03


def test_projections_may_have_the_blur_of_their_source():
    flat = {"kind": "epithelium", "relief_um": 0, "second": "none", "junction_height_um": 0.1, "cytoplasm": 0}
    changes = {"task": "project", "shape": [24, 64, 64], "pixel_size_um": [0.4, 0.2, 0.2], "structures": [flat]}
    psf = {"kind": "gaussian", "sigma_um": 0.4, "sigma_z_um": 0.8}
    dark = dict.fromkeys(("level", "texture", "haze", "vesicle_density"), 0)
    camera = {"photons": 1e5, "gain": 1, "offset": 0, "read_noise": 0, "bit_depth": None}
    base = {key: value for key, value in TUBULES.items() if key != "structures"} | changes
    recipe = base | {"psf": psf, "background": dark, "camera": camera}
    blurred, narrow = (make_pair(prepared(recipe, targets=each), 0, 0) for each in ("source", "structure"))
    plane = blurred.source[np.argmax(blurred.source.mean(axis=(1, 2)))]
    assert np.corrcoef(plane.ravel(), blurred.target.ravel())[0, 1] > 0.999
    assert np.corrcoef(plane.ravel(), narrow.target.ravel())[0, 1] < 0.95


def test_photons_are_those_of_the_structure_without_its_background():
    bright = {"level": 3.0, "texture": 0, "haze": 0, "vesicle_density": 0}
    camera = {"photons": 200, "gain": 1, "offset": 0, "read_noise": 0, "bit_depth": None}
    made = make_pair(prepared(TUBULES, shape=[128, 128], camera=camera, background=bright), 0, 0)
    assert np.median(made.source) == pytest.approx(3 * 200, rel=0.05)


def test_a_computed_psf_blurs_the_sources():
    pytest.importorskip("psfmodels", reason="needs the extra simulate")
    optics = {"kind": "optics", "na": [0.6, 0.8], "wavelength_um": 0.6, "index_immersion": 1.0, "index_sample": 1.0}
    made = make_pair(prepared(TUBULES, psf=optics, shape=[100, 100]), 0, 0)
    assert 0.6 <= made.parameters["psf.na"] <= 0.8
    assert made.source.shape == (100, 100)


def test_a_bead_stack_blurs_the_sources(tmp_path):
    rng = np.random.default_rng(1)
    axes = [np.arange(n) for n in (24, 90, 90)]
    stack = rng.normal(50, 1, (24, 90, 90))
    for _ in range(6):
        at = rng.uniform((10, 15, 15), (14, 75, 75))
        lines = [np.exp(-((a - c) ** 2) / (2 * s**2)) for a, c, s in zip(axes, at, (2.5, 1.5, 1.5), strict=True)]
        stack += 800 * lines[0][:, None, None] * lines[1][:, None] * lines[2]
    tifffile.imwrite(
        tmp_path / "beads.tif",
        stack.astype(np.float32),
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZYX", "spacing": 0.3, "unit": "um"},
    )
    described = {"kind": "beads", "file": "beads.tif", "half_size_um": [2.1, 0.6, 0.6]}
    made = make_pair(
        prepared(TUBULES, tmp_path, psf=described, shape=[16, 64, 64], pixel_size_um=[0.3, 0.1, 0.1]), 0, 0
    )
    assert made.source.shape == (16, 64, 64)
    axial = prepared(ISOTROPIC, tmp_path, structures={"kind": "nuclei"}, axial_psfs=described)
    drawn = make_pair(axial, 0, 0).parameters
    assert drawn["axial_psf_0.axial_um"] == pytest.approx(0.75, rel=0.1)
    assert drawn["axial_psf_0.lateral_um"] == pytest.approx(0.15, rel=0.1)


def test_clean_images_are_degraded_in_pieces(clean):
    ready = prepared({"images": "plain_*.tif", "camera": {"photons": 1e4}, "shape": [32, 40]}, clean)
    assert len(ready.images) == 2
    made = make_pair(ready, 0, 0)
    assert made.source.shape == made.target.shape == (32, 40)
    assert made.source == pytest.approx(made.target, abs=7 * np.sqrt(2e4))
    assert any((make_pair(ready, 0, i).target != made.target).any() for i in (2, 4, 6)), "pieces are drawn"


def test_whole_images_and_their_channels_are_kept(clean):
    made = make_pair(prepared({"images": "channels.tif", "camera": CAMERA}, clean), 0, 0)
    assert made.source.shape == made.target.shape == (2, 80, 90)
    assert made.parameters["camera.photons_0"] != made.parameters["camera.photons_1"]


def test_a_psf_blurs_clean_images_and_leaves_the_target(clean):
    ready = prepared(
        {"images": "plain_a.tif", "camera": {"photons": 1e6}, "psf": {"kind": "gaussian", "sigma_um": 0.5}}, clean
    )
    made = make_pair(ready, 0, 0)
    assert made.source.max() < 0.95 * made.target.max()


def test_isotropic_pairs_from_structures_images_and_planes_of_stacks(clean):
    made = make_pair(prepared(ISOTROPIC, structures={"kind": "nuclei"}), 0, 0)
    assert made.source.shape == made.target.shape == (256, 255)
    assert made.parameters["factor"] == 10.2
    planes = prepared(ISOTROPIC | {"factor": 4}, clean, images=["plain_a.tif", "stack.tif"], shape=[40, 80])
    assert [make_pair(planes, 0, i).source.shape for i in (0, 1)] == [(40, 80), (40, 80)]
    channels = prepared(
        ISOTROPIC | {"factor": 4}, clean, images="channels.tif", axial_psfs=[ISOTROPIC["axial_psfs"]] * 2
    )
    assert make_pair(channels, 0, 0).source.shape == (2, 80, 88)


def test_upsampling_pairs_lose_planes(clean):
    description = {"task": "upsample", "factor": 4, "camera": CAMERA, "pixel_size_um": [0.3, 0.1, 0.1]}
    made = make_pair(prepared(description, clean, images="stack.tif"), 0, 0)
    assert made.source.shape == (3, 80, 90)
    assert made.target.shape == (12, 80, 90)
    simulated = make_pair(prepared(description, structures={"kind": "tubules"}, psf=PSF_3D, shape=[21, 48, 48]), 0, 0)
    assert simulated.source.shape == (5, 48, 48)
    assert simulated.target.shape == (20, 48, 48)
    assert simulated.parameters["factor"] == 4


def test_projection_pairs_from_a_simulation_and_from_a_stack(clean):
    made = make_pair(prepared(EPITHELIUM), 0, 0)
    assert made.source.shape == (30, 48, 48)
    assert made.target.shape == (48, 48)
    assert {"epithelium.relief_um", "background.haze", "camera.photons", "psf.sigma_z_um"} <= set(made.parameters)
    description = {"task": "project", "camera": {"photons": 1e4}, "pixel_size_um": [0.5, 0.2, 0.2]}
    ready = prepared(description, clean, images="stack.tif", heights="height.tif", shape=[12, 40, 50])
    real = make_pair(ready, 0, 0)
    assert real.source.shape == (12, 40, 50)
    assert real.target.shape == (40, 50)
    assert real.source.max(axis=0) == pytest.approx(real.target, rel=0.2, abs=500)
    assert real.parameters["camera.saturated"] == 0


def test_without_a_camera_there_is_no_noise():
    first, second = (
        make_pair(prepared(ISOTROPIC | {"camera": None}, structures={"kind": "nuclei"}), 0, 0).source for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(np.diff(first, axis=1)).max() < 1


def test_measured_pixel_maps_reach_the_sources():
    maps = PixelMaps(*(np.ones((64, 64), np.float32) for _ in range(3)))
    maps.offset[:, 32:] = 500
    made = make_pair(prepare(describe(TUBULES), Path(), maps=maps), 0, 0)
    assert made.source[:, 32:].min() > made.source[:, :32].mean() + 300


def test_exact_factors_come_from_yaml():
    assert describe(ISOTROPIC | {"structures": {"kind": "nuclei"}}).factor == Fraction(51, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strctures": []}, "simulate: unknown key 'strctures'; did you mean structures"),
        ({"structures": {"kind": "tubule"}}, r"simulate.structures\[0\]: unknown kind 'tubule'; did you mean tubules"),
        ({"structures": {"kind": "tubules", "lenght_um": 3}}, "unknown key 'lenght_um'; did you mean length_um"),
        ({"camera": {"photons": 0}}, "simulate.camera: photons: expected above 0"),
        ({"camera": None}, "missing camera; for a first try camera: {photons: {log"),
        ({"psf": None}, "psf: simulated structures need one"),
        ({"psf": {"kind": "gaussian", "sigma_um": -0.1}}, "sigma_um: expected a number above 0"),
        ({"images": "a.tif"}, "either structures .* or images .*, and not both"),
        ({"structures": []}, "either structures"),
        ({"task": "upsample"}, "missing factor; for a first try factor: 4"),
        ({"factor": 4}, "factor is a key of task upsample, isotropic, found in task denoise"),
        (
            {"task": "isotropic", "factor": 4},
            "psf is a key of task denoise, upsample, project, found in",
        ),
        (VOLUME | {"task": "upsample", "factor": 0.25}, r"factor: expected 1 or more, found 1/4; did you mean 4\?"),
        ({"task": "isotropic", "factor": 4, "psf": None}, "missing axial_psfs; for a first try"),
        (
            {"task": "isotropic", "factor": 4, "psf": None, "axial_psfs": []},
            "axial_psfs: task isotropic needs at least one",
        ),
        ({"task": "denoize"}, "unknown task 'denoize'; did you mean denoise"),
        ({"task": "project"}, "task project works on ZYX: expected 3 sizes"),
        (
            VOLUME | {"task": "project"},
            "simulates one epithelium",
        ),
        ({"shape": [64, 64, 64]}, r"shape \[64, 64, 64\] has 3 axes, pixel_size_um \[0.1, 0.1\] has 2"),
        ({"shape": [8, 64, 64], "pixel_size_um": [0.3, 0.1, 0.1]}, "a volume needs sigma_z_um"),
        ({"shape": [0, 64]}, "sizes above 0"),
        ({"pixel_size_um": [0.1, -0.1]}, "pixel_size_um: expected 2 or 3 sizes above 0"),
        ({"n_pairs": 0}, "n_pairs: expected 1 or more"),
        ({"target_sigma_um": 0.01}, "less than 0.4 pixels"),
        (
            {"target_sigma_um": 0.1, "targets": "source"},
            "target_sigma_um: targets: source means the PSF of the sources",
        ),
        ({"target_sigma_z_um": 0.1, "targets": "source"}, "target_sigma_z_um: targets: source means the PSF"),
        (
            VOLUME | {"targets": "source", "task": "upsample", "factor": 2},
            "targets is a key of task denoise, project, found in task upsample",
        ),
    ],
)
def test_a_description_that_cannot_be_followed_is_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        describe(TUBULES | changes)


def test_the_former_name_of_a_task_is_read():
    assert describe(TUBULES) == describe(TUBULES | {"task": "restore"}) == describe(TUBULES | {"task": "denoise"})


def test_keys_of_other_tasks_that_say_nothing_are_read():
    """Recipes that are recorded in packages list the keys of all tasks."""
    other = {"factor": None, "axial_psfs": [], "axial_width": "physical", "heights": []}
    assert describe(TUBULES | other) == describe(TUBULES)
    with pytest.raises(RecipeError, match="axial_width is a key of task isotropic, found in task denoise"):
        describe(TUBULES | other | {"axial_width": "csbdeep"})


def test_a_stack_to_project_needs_its_height_map():
    with pytest.raises(RecipeError, match="heights: task project with images"):
        describe({"task": "project", "images": "a.tif", "camera": CAMERA, "pixel_size_um": [1, 1, 1]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"psf": {"kind": "gaussian", "sigma_um": 3.0}}, r"psf of 12 x 12 um is larger than the image of 6.4 x 6.4 um"),
        ({"structures": {"kind": "nuclei"}}, "nuclei: pieces of up to 15.2 um do not fit the field of 6.4 x 6.4 um"),
        ({"structures": {"kind": "granules", "radius_um": 2.0}}, "granules: pieces of up to 12 um do not fit"),
        ({"structures": {"kind": "epithelium"}}, "epithelium: pieces of up to 8 um do not fit"),
        (
            EPITHELIUM | {"shape": [10, 48, 48]},
            "epithelium: relief, .* need up to 12.2 um, but the volume is 5 um deep",
        ),
        (
            {
                "structures": {"kind": "nuclei", "coverage": 0.7},
                "shape": [64] * 3,
                "pixel_size_um": [1] * 3,
                "psf": PSF_3D,
            },
            "nuclei: coverage 0.7 cannot be packed, at most 0.55",
        ),
        (ISOTROPIC | {"structures": {"kind": "granules"}, "shape": [20, 20], "psf": None}, "leaves 1 of 20 pixels"),
        (
            ISOTROPIC | {"axial_psfs": {"kind": "widths", "axial_um": 0.1, "lateral_um": 0.2}, "psf": None},
            "expected the axial one to be larger",
        ),
        ({"structures": [], "images": "nowhere/*.tif"}, r"images: no file matches 'nowhere/\*.tif'"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises(CarezooError, match=message):
        prepared(TUBULES, tmp_path, **changes)


def test_images_that_do_not_fit_are_refused(clean):
    degrade = {"camera": CAMERA, "images": "plain_a.tif"}
    with pytest.raises(DataError, match=r"shape \[100, 100\] is larger than the image"):
        prepared(degrade, clean, shape=[100, 100])
    with pytest.raises(DataError, match="expected axes ZYX with or without C"):
        prepared(degrade, clean, pixel_size_um=[1, 1, 1])
    with pytest.raises(AxesError):
        prepared(degrade, clean, axes="ZYX", pixel_size_um=[1, 1, 1])
    with pytest.raises(RecipeError, match="heights: expected one for each of 1 images, found 2"):
        prepared(
            {"task": "project", "camera": CAMERA, "images": "stack.tif", "heights": ["height.tif", "height.tif"]},
            clean,
            pixel_size_um=[1, 1, 1],
        )


@pytest.mark.parametrize(("value", "message"), [(7.0, "is dark or constant"), (np.nan, "NaN or infinite")])
def test_images_without_structure_are_refused(tmp_path, value, message):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((50, 50), value, np.float32))
    with pytest.raises(DataError, match=message):
        prepared({"camera": CAMERA, "images": "flat.tif"}, tmp_path)


def test_more_than_the_disk_holds_is_refused_with_both_sizes(tmp_path, monkeypatch):
    ready = prepared(TUBULES, n_pairs=1000)
    assert pairs_.estimate_n_bytes(ready) == 1000 * 64 * 64 * 8
    pairs_.check_disk(ready, tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 10**6))
    with pytest.raises(InputError, match=r"it needs .* the disk has"):
        pairs_.check_disk(ready, tmp_path)


def test_the_size_of_degraded_images_is_known(clean):
    for name, n_channels in (("plain_a.tif", 1), ("channels.tif", 2)):
        whole = prepared({"images": name, "camera": CAMERA, "n_pairs": 3}, clean)
        assert pairs_.estimate_n_bytes(whole) == 8 * 3 * 80 * 90 * n_channels
    pieces = prepared({"images": "channels.tif", "camera": CAMERA, "n_pairs": 3, "shape": [32, 32]}, clean)
    assert pairs_.estimate_n_bytes(pieces) == 8 * 3 * 32 * 32 * 2


def test_images_of_one_set_have_as_many_channels(clean):
    with pytest.raises(DataError, match=r"channels\.tif has 2 channel\(s\) .* make two sets"):
        prepared({"images": ["plain_a.tif", "channels.tif"], "camera": CAMERA}, clean)


def test_clean_images_are_shown_at_any_size_and_contrast(clean):
    described = {"images": "plain_a.tif", "camera": {"photons": 1e6, "gain": 0.01}, "shape": [40, 40]}
    larger = prepared(described | {"magnification": 4}, clean)
    smaller = prepared(described | {"magnification": 0.5}, clean)
    seen = {}
    for name, ready in (("larger", larger), ("smaller", smaller), ("as it is", prepared(described, clean))):
        made = [make_pair(ready, 0, i) for i in range(6)]
        assert {pair.source.shape for pair in made} == {pair.target.shape for pair in made} == {(40, 40)}
        seen[name] = np.median([np.abs(np.diff(pair.target, axis=1)).mean() for pair in made])
    assert seen["larger"] < 0.5 * seen["as it is"], "structures are wider, slopes smaller"
    # 80 x 90 pixels fill 40 x 40 at half their size, so all of the image is there.
    assert make_pair(smaller, 0, 0).parameters["magnification"] == pytest.approx(0.5)
    tiny = prepared(described | {"magnification": 0.1}, clean)
    assert make_pair(tiny, 0, 0).parameters["magnification"] == pytest.approx(0.5), "smaller than the image is not had"


def test_contrast_is_a_power_of_the_brightness_above_black(clean):
    described = {"images": "plain_a.tif", "camera": {"photons": 1e6}, "shape": [80, 90]}
    plain, flat = (
        make_pair(prepared(described | how, clean), 0, 0).target for how in ({"contrast": 1.001}, {"contrast": 2})
    )
    black, white = plain.min(), np.percentile(plain, 99.9)
    share = (plain - black) / (white - black)
    assert (flat - flat.min()) / (np.percentile(flat, 99.9) - flat.min()) == pytest.approx(share**2, abs=0.02)


def test_every_channel_may_be_an_image_of_its_own(clean):
    ready = prepared({"images": "channels.tif", "camera": CAMERA, "each_channel": True}, clean)
    assert len(ready.images) == 2
    first, second = (make_pair(ready, 0, i) for i in range(2))
    assert first.source.shape == second.source.shape == (80, 90)
    assert first.target != pytest.approx(second.target, rel=0.01)


def test_magnification_of_structures_is_refused():
    with pytest.raises(RecipeError, match="magnification: goes with 2D images"):
        describe({"structures": {"kind": "tubules"}, "psf": {"kind": "gaussian", "sigma_um": 0.1}, "camera": CAMERA,
                  "magnification": 2})  # fmt: skip
