"""Simulated sets of a training: split, written to report on, drawn from while training."""

import dataclasses
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.errors import DataError, RecipeError
from carezoo.files import open_image
from carezoo.pairs.intensity import Intensity
from carezoo.pairs.section import PairAxes
from carezoo.patches.files import Patches, PatchSize
from carezoo.patches.sampler import MixedSampler
from carezoo.patches.simulated import SimulatedSampler, measure_constants
from carezoo.schema.build import build, to_plain
from carezoo.simulate import pairs
from carezoo.simulate.sets import ImageSplit, SimulatedSet, open_set, write_report_files

TUBULES = {
    "structures": {"kind": "tubules", "density": 2.0},
    "psf": {"kind": "gaussian", "sigma_um": [0.1, 0.15]},
    "camera": {"photons": {"log": [50, 200]}},
    "shape": [48, 64],
}
NUCLEI_ISOTROPIC = {
    "task": "isotropic",
    "factor": "5/2",
    "structures": {"kind": "nuclei", "radius_um": 2.0, "coverage": 0.3},
    "pixel_size_um": [0.5, 0.5],
    "shape": [40, 40],
    "axial_psfs": {"kind": "widths", "axial_um": 1.5, "lateral_um": 0.4},
    "camera": {"photons": 1000, "read_noise": 0},
}


def described(simulation, **others) -> SimulatedSet:
    return build(SimulatedSet, {"simulate": simulation, "name": "made", **others}, "set")


def sampler(simulation, size, axes, part="fit", **changes) -> SimulatedSampler:
    opened = open_set(described(simulation), Path(), 1)
    settings = Patches(size=PatchSize(**size), background_threshold=changes.pop("background_threshold", 0.2))
    intensity = Intensity(**changes.pop("intensity", {}))
    return SimulatedSampler(opened.parts[part], axes, settings, intensity, opened.seeds[part], n_per_image=3, **changes)


def test_a_patch_depends_on_the_seed_and_its_number_alone():
    drawn = sampler(TUBULES, {"y": 16, "x": 16}, PairAxes("YX"))
    forward = [drawn.patch(k) for k in range(7)]
    again = pickle.loads(pickle.dumps(drawn))
    for k in (6, 0, 3):
        for one, other in zip(again.patch(k), forward[k], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == (1, 16, 16)
            assert one.dtype == np.float32
    assert not np.array_equal(forward[0][0], forward[1][0])


def test_neighbouring_patches_are_cut_from_one_image(monkeypatch):
    drawn = sampler(TUBULES, {"y": 16, "x": 16}, PairAxes("YX"))
    made, make_pair = [], pairs.make_pair
    monkeypatch.setattr(
        "carezoo.patches.simulated.make_pair", lambda *which: made.append(which[2]) or make_pair(*which)
    )
    for k in range(7):
        drawn.patch(k)
    assert made == [0, 1, 2]


def test_parts_are_made_of_different_pairs():
    opened = open_set(described(TUBULES), Path(), 1)
    first = [pairs.make_pair(opened.parts[part], opened.seeds[part], 0).source for part in ("fit", "choose", "report")]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])
    other = open_set(described(TUBULES), Path(), 2)
    assert not np.array_equal(first[0], pairs.make_pair(other.parts["fit"], other.seeds["fit"], 0).source)


def test_patches_are_normalized_by_the_whole_source_and_the_target_in_its_units():
    drawn = sampler(TUBULES, {"y": 48, "x": 64}, PairAxes("YX"), background_threshold=0)
    pair = pairs.make_pair(drawn.prepared, drawn.seed, 0)
    low, high = np.percentile(pair.source, (2, 99.8))
    source, target = drawn.fixed_patches(1)
    np.testing.assert_allclose(source[0, 0], (pair.source - low) / (high - low + 1e-6), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(target[0, 0], (pair.target - low) / (high - low + 1e-6), rtol=1e-5, atol=1e-5)


def test_fixed_constants_are_measured_on_the_pairs_to_fit():
    opened = open_set(described(TUBULES), Path(), 1)
    intensity = Intensity(mode="fixed")
    constants = measure_constants(opened.parts["fit"], intensity, opened.seeds["fit"])
    sources = np.stack([pairs.make_pair(opened.parts["fit"], opened.seeds["fit"], i).source for i in range(16)])
    np.testing.assert_allclose(constants.values[0], np.percentile(sources, (2, 99.8)))
    drawn = sampler(
        TUBULES, {"y": 48, "x": 64}, PairAxes("YX"), background_threshold=0, intensity={"mode": "fixed"},
        constants=constants,
    )  # fmt: skip
    low, high = constants.values[0]
    np.testing.assert_allclose(
        drawn.fixed_patches(1)[0][0, 0], (sources[0] - low) / (high - low + 1e-6), rtol=1e-4, atol=1e-4
    )


def test_a_patch_is_drawn_where_its_middle_is_bright(tmp_path):
    clean = np.full((80, 80), 10.0, np.float32)
    clean[60:64, 60:64] = 100.0
    tifffile.imwrite(tmp_path / "spot.tif", clean)
    simulation = {"images": "spot.tif", "axes": "YX", "camera": {"photons": 1000, "bit_depth": None}}
    split = {"choose_fraction": 0.0, "report_fraction": 0.0}
    with pytest.raises(RecipeError, match=r"nothing of spot.tif is left to choose"):
        open_set(described(simulation, split=split), tmp_path, 1)
    opened = open_set(described(simulation, split={"axis": "X", "choose_fraction": 0.2}), tmp_path, 1)
    prepared = dataclasses.replace(
        opened.parts["fit"], images=tuple(dataclasses.replace(i, bounds={}) for i in opened.parts["fit"].images)
    )
    settings = Patches(size=PatchSize(y=16, x=16))
    drawn = SimulatedSampler(prepared, PairAxes("YX"), settings, Intensity(), 0, n_per_image=10)
    for k in range(10):
        assert drawn.patch(k)[1][0, 3:13, 3:13].max() > 0.9
    anywhere = drawn.fixed_patches(20, is_anywhere=True)[1]
    assert min(patch.max() for patch in anywhere) < 0.5


def test_images_without_contrast_are_not_drawn_for_ever():
    dark = TUBULES | {"camera": {"photons": 1e-9, "read_noise": 0, "bit_depth": 16}, "background": {"level": 0}}
    drawn = sampler(dark, {"y": 16, "x": 16}, PairAxes("YX"))
    with pytest.raises(DataError, match="20 simulated images in a row have no contrast"):
        drawn.patch(0)


def test_patches_larger_than_the_images_are_told():
    with pytest.raises(DataError, match="simulated targets of 48 x 64 are smaller than a patch of 64 x 64"):
        sampler(TUBULES, {"y": 64, "x": 64}, PairAxes("YX")).patch(0)


def test_upsampling_patches_begin_where_planes_begin_together():
    ramp = {
        "task": "upsample",
        "factor": "5/2",
        "structures": {"kind": "nuclei", "radius_um": 2.0, "coverage": 0.4},
        "pixel_size_um": [0.5, 0.5, 0.5],
        "shape": [30, 24, 24],
        "psf": {"kind": "gaussian", "sigma_um": 0.6, "sigma_z_um": 1.5},
        "target_sigma_um": 0.6,
        "target_sigma_z_um": 1.5,
        "background": {"level": 0, "texture": 0, "haze": 0, "vesicle_density": 0},
    }
    axes = PairAxes("ZYX", factor=Fraction(5, 2))
    drawn = sampler(ramp, {"z": 4, "y": 16, "x": 16}, axes, background_threshold=0)
    for k in range(6):
        source, target = drawn.patch(k)
        assert source.shape == (1, 4, 16, 16)
        assert target.shape == (1, 10, 16, 16)
        # The middle of coarse planes 1 lies at fine plane (1 + 1/2) * 5/2 - 1/2 = 3.25.
        expected = 0.75 * target[0, 3] + 0.25 * target[0, 4]
        assert np.corrcoef(source[0, 1].ravel(), expected.ravel())[0, 1] > 0.995


def test_projection_patches_keep_all_planes():
    sheet = {
        "task": "project",
        "structures": {"kind": "epithelium", "cell_diameter_um": 2.0, "second": "none"},
        "pixel_size_um": [0.8, 0.2, 0.2],
        "shape": [10, 48, 48],
        "psf": {"kind": "gaussian", "sigma_um": 0.2, "sigma_z_um": 0.5},
        "camera": {"photons": 100},
    }
    drawn = sampler(sheet, {"z": 10, "y": 32, "x": 32}, PairAxes("ZYX", "YX"))
    source, target = drawn.patch(4)
    assert source.shape == (1, 10, 32, 32)
    assert target.shape == (1, 32, 32)
    # Where the sheet is, it is the brightest thing above the pixel, turned and mirrored alike.
    assert np.corrcoef(source[0].max(axis=0).ravel(), target[0].ravel())[0, 1] > 0.7


def test_isotropic_volumes_are_coarse_along_z_and_match_what_lateral_slices_teach():
    opened = open_set(described(NUCLEI_ISOTROPIC, n_report=1), Path(), 1)
    pair = pairs.make_whole_pair(opened.parts["report"], opened.seeds["report"], 0)
    assert pair.source.shape == (16, 40, 40)
    assert pair.target.shape == (40, 40, 40)
    assert pair.parameters["factor"] == 2.5
    smooth = [float(np.abs(np.diff(pair.target, axis=axis)).mean()) for axis in range(3)]
    assert max(smooth) / min(smooth) < 1.25
    # The source lost resolution along Z alone: its planes are blurred copies, not mixtures of X and Y.
    along_x = [float(np.abs(np.diff(each.astype(float), axis=2)).mean()) for each in (pair.source, pair.target)]
    assert along_x[0] > 0.5 * along_x[1]


def test_stacks_of_images_are_turned_so_that_x_is_degraded(tmp_path):
    stack = np.zeros((6, 30, 50), np.float32)
    stack[:, :, 24:26] = 100.0
    stack[2] += 1.0
    tifffile.imwrite(
        tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"},
        resolution=(2.0, 2.0),
    )  # fmt: skip
    isotropic = {key: value for key, value in NUCLEI_ISOTROPIC.items() if key not in {"structures", "shape"}}
    isotropic |= {"images": "stack.tif", "factor": 2, "camera": None}
    opened = open_set(described(isotropic, split={"report_fraction": 0.5, "choose_fraction": 0.2}), tmp_path, 1)
    pair = pairs.make_whole_pair(opened.parts["report"], opened.seeds["report"], 0)
    # X (50) stands for Z, Z (6 planes, 1 um apart, pixels of 0.5 um) for X.
    assert pair.target.shape == (50, 15, 12)
    assert pair.source.shape == (25, 15, 12)
    assert pair.target[24:26].min() >= 100.0
    assert pair.source.max() < 90.0
    flat = open_image(tmp_path / "stack.tif").array()[0]
    tifffile.imwrite(tmp_path / "flat.tif", flat)
    with pytest.raises(RecipeError, match=r"flat\.tif is not a stack"):
        open_set(described(isotropic | {"images": "flat.tif", "axes": "YX"}), tmp_path, 1)


@pytest.fixture
def two_images(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.tif", "b.tif"):
        image = rng.integers(0, 1000, (60, 40)).astype(np.uint16)
        image[:, 0] = np.arange(60) * 10 + 5
        tifffile.imwrite(tmp_path / name, image)
    return tmp_path


DEGRADED = {"images": "*.tif", "axes": "YX", "camera": {"photons": 100}}


def test_images_are_cut_into_strips_that_share_no_pixel(two_images):
    opened = open_set(described(DEGRADED, split={"choose_fraction": 0.2, "report_fraction": 0.3}), two_images, 1)
    rows = {part: [image.bounds["Y"] for image in prepared.images] for part, prepared in opened.parts.items()}
    assert rows == {"fit": [slice(0, 30)] * 2, "choose": [slice(30, 42)] * 2, "report": [slice(42, 60)] * 2}
    for part, prepared in opened.parts.items():
        piece, _ = prepared.images[0].cut(prepared.simulation.piece, np.random.default_rng(0))
        expected = np.arange(60)[rows[part][0]] * 10 + 5
        np.testing.assert_array_equal(piece[:, 0], expected)
    report = opened.parts["report"]
    small = dataclasses.replace(report.simulation, shape=(10, 10))
    for seed in range(10):
        piece, _ = report.images[0].cut(small.piece, np.random.default_rng(seed))
        wide = tifffile.imread(report.images[0].path)[42:60]
        assert any((wide[y : y + 10, x : x + 10] == piece).all() for y in range(9) for x in range(31))


def test_images_are_split_by_name(two_images):
    with pytest.raises(RecipeError, match="no image is left to choose"):
        open_set(described(DEGRADED, split={"report": ["b.tif"]}), two_images, 1)
    with pytest.raises(RecipeError, match=r"'c\.tif' is none of a\.tif, b\.tif"):
        open_set(described(DEGRADED, split={"report": ["c.tif"]}), two_images, 1)
    with pytest.raises(RecipeError, match=r"b\.tif cannot choose and report"):
        open_set(described(DEGRADED, split={"report": ["b.tif"], "choose": ["b.*"]}), two_images, 1)
    tifffile.imwrite(two_images / "c.tif", tifffile.imread(two_images / "a.tif") + 1)
    opened = open_set(described(DEGRADED, split={"report": ["b.tif"], "choose": ["c.*"]}), two_images, 1)
    names = {part: [path.name for path in paths] for part, paths in opened.clean_files.items()}
    assert names == {"fit": ["a.tif"], "choose": ["c.tif"], "report": ["b.tif"]}


def test_a_strip_smaller_than_the_pieces_is_told(two_images):
    with pytest.raises(DataError, match=r"a.tif: shape \[40, 40\] is larger than the image, Y 36 x X 40 in the part"):
        open_set(described(DEGRADED | {"shape": [40, 40]}), two_images, 1)


def test_images_of_a_set_have_the_same_channels(two_images):
    image = np.zeros((2, 60, 40), np.uint16) + np.arange(40, dtype=np.uint16)
    tifffile.imwrite(two_images / "c.tif", image, imagej=True, metadata={"axes": "CYX"})
    mixed = {key: value for key, value in DEGRADED.items() if key != "axes"}
    with pytest.raises(DataError, match=r"c\.tif has 2 channel\(s\) \(CYX\).* make two sets"):
        open_set(described(mixed), two_images, 1)


def test_pairs_to_report_on_are_written_once(tmp_path, two_images, monkeypatch):
    opened = open_set(described(DEGRADED, n_report=3), two_images, 1)
    files = write_report_files(opened, tmp_path / "cache")
    folder = Path(files.source[0])
    assert sorted(path.name for path in folder.iterdir()) == [f"report-0000{i}.tif" for i in range(3)]
    assert files.split.report == ("*",)
    monkeypatch.setattr("carezoo.simulate.sets.make_whole_pair", None)
    assert write_report_files(opened, tmp_path / "cache") == files
    other = open_set(described(DEGRADED, n_report=3), two_images, 2)
    monkeypatch.undo()
    assert write_report_files(other, tmp_path / "cache") != files
    assert write_report_files(open_set(described(DEGRADED, n_report=0), two_images, 1), tmp_path) is None


class _Counting:
    def __init__(self, which):
        self.which, self.asked = which, []

    def patch(self, number):
        self.asked.append(number)
        return np.full(1, self.which), np.full(1, number)

    def fixed_patches(self, n, *, is_anywhere=False):
        return np.full((n, 1), self.which), np.zeros((n, 1))


def test_a_mixture_keeps_its_shares_and_leaves_no_gap():
    samplers = [_Counting(0), _Counting(1), _Counting(2)]
    mixed = MixedSampler(samplers, [1.0, 2.0, 1.0])
    drawn = [int(mixed.patch(k)[0][0]) for k in range(128)]
    assert [drawn.count(which) for which in range(3)] == [32, 64, 32]
    assert [sorted(each.asked) for each in samplers] == [list(range(32)), list(range(64)), list(range(32))]
    # Spread, not in blocks.
    assert max(len(run) for run in "".join(map(str, drawn)).replace("0", " ").replace("2", " ").split()) <= 2
    assert np.bincount(mixed.fixed_patches(64)[0].ravel().astype(int)).tolist() == [16, 32, 16]


def test_a_description_becomes_words_and_the_same_description_again():
    words = to_plain(pairs.describe(NUCLEI_ISOTROPIC | {"factor": 10.2, "n_pairs": 7}))
    assert words["factor"] == "51/5"
    assert words["structures"][0]["kind"] == "nuclei"
    assert words["camera"]["photons"] == 1000.0
    assert pairs.describe(words) == pairs.describe(NUCLEI_ISOTROPIC | {"factor": 10.2, "n_pairs": 7})
    logarithmic = to_plain(pairs.describe(TUBULES))
    assert logarithmic["camera"]["photons"] == {"log": [50.0, 200.0]}
    assert pairs.describe(logarithmic) == pairs.describe(TUBULES)


def test_split_fractions_must_leave_something():
    with pytest.raises(RecipeError, match="leave something to fit"):
        ImageSplit(choose_fraction=0.5, report_fraction=0.5)
