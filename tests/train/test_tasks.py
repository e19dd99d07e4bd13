"""From a recipe to a package for every task, with trainings of two steps: the way, not the result."""

from __future__ import annotations

from fractions import Fraction

import judging
import numpy as np
import pytest
import tifffile

from carezoo.check.run import check
from carezoo.image import Image
from carezoo.package.read import open_package
from carezoo.runtime.restore import restore
from carezoo.settings import Settings
from carezoo.train.pack import draft_tools
from carezoo.train.recipe import Recipe
from carezoo.train.run import train

FACTOR = {"upsample": Fraction(2), "isotropic": Fraction(5, 2), "project": Fraction(1)}
SIZE = {"upsample": {"z": 4}, "isotropic": {}, "project": {"z": 6}}
INTENSITY = {"upsample": {}, "isotropic": {"fit": "pair"}, "project": {"fit": "none"}}


def blobs(rng, *shape):
    """Return bright spots, noisy and clean, uint16."""
    clean = np.full(shape, 200.0)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True)
    for _ in range(max(4, clean.size // 400)):
        distance = sum((axis - rng.uniform(0, n)) ** 2 for axis, n in zip(grid, shape, strict=True))
        clean += rng.uniform(300, 1500) * np.exp(-distance / (2 * rng.uniform(1.5, 3) ** 2))
    return rng.poisson(clean).astype(np.uint16), clean.astype(np.uint16)


def pair(task, rng):
    """Return source and target: of equal size, with every second plane alone, or with the planes' maximum."""
    noisy, clean = blobs(rng, *((48, 64) if task == "isotropic" else (10 if task == "upsample" else 6, 48, 64)))
    if task == "upsample":
        return noisy[::2], clean
    return noisy, (clean.max(axis=0) if task == "project" else clean)


def save(folder, task, n_channels):
    """Save pairs called fit, choose and report, and a stack to show."""
    rng = np.random.default_rng(3)
    for name in ("fit", "choose", "report"):
        for side, channels in zip(
            ("low", "high"), zip(*(pair(task, rng) for _ in range(n_channels)), strict=True), strict=True
        ):
            write(folder / side / f"{name}.tif", channels)
    write(folder / "stack.tif", [blobs(rng, 6, 40, 56)[0] for _ in range(n_channels)])


def write(path, channels):
    path.parent.mkdir(exist_ok=True)
    axes = "C" + "ZYX"[-channels[0].ndim :]
    tifffile.imwrite(path, np.stack(channels), metadata={"axes": axes})


def recipe_of(folder, task, n_channels, **changes):
    names = [f"channel {i}" for i in range(n_channels)]
    one = {"name": "made", "source": "low", "target": "high", "license": "CC0-1.0"}
    values = {
        "name": f"{task}-blobs",
        "task": task,
        "members": 2,
        "data": {"folder": str(folder), "channels": names,
                 "sets": [{**one, "split": {"choose": "choose.tif", "report": "report.tif"}}]},
        "intensity": INTENSITY[task],
        "patches": {"size": {**SIZE[task], "y": 16, "x": 16}},
        "network": {"depth": 1, "kernel": 3, "n_first": 2, "probabilistic": True,
                    "projection": {"depth": 1, "n_filters": 2}},
        "training": {"n_epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "n_validation_patches": 2},
        "package": {"sample": {"source": "stack.tif", "license": "CC0-1.0"},
                    "pixel_size_um": {"z": 2.0, "y": 0.1, "x": 0.1}},
    }  # fmt: skip
    if FACTOR[task] != 1:
        values["factor"] = str(FACTOR[task])
    return Recipe.from_dict({**values, **changes})


@pytest.fixture(scope="module", params=["upsample", "isotropic", "project"])
def run(request, tmp_path_factory):
    """Return the task and the folder of a run whose two members are packed as an ensemble, with two channels."""
    task, folder = request.param, tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)
        save(folder, task, 2)
        out = folder / "run"
        assert train(recipe_of(folder, task, 2), out).name == f"{task}-blobs-ensemble-0.1.0.zip"
        assert train(recipe_of(folder, task, 2), out, member=2).name == f"{task}-blobs-0.1.0.zip"
    return task, out


def packages_of(run):
    task, out = run
    return [open_package(out / f"{task}-blobs{name}-0.1.0.zip") for name in ("-ensemble", "")]


def restored(package, shape, **settings):
    pixels = np.stack([blobs(np.random.default_rng(5 + i), *shape)[0] for i in range(2)])
    image = Image(pixels, "CZYX", {"Z": 2.0, "Y": 0.1, "X": 0.1}, name="image")
    return restore(image, package, Settings(provider="cpu", **settings))


def test_packages_pass_their_check(run):
    for package in packages_of(run):
        assert check(package).passed
        assert package.manifest.carezoo.task == run[0]
        assert 0 < package.manifest.carezoo.halo_measured["y"] <= package.manifest.input.rules["Y"].halo


def test_sizes_pixel_sizes_and_origins_of_restored_images(run):
    task = run[0]
    for package, n_results in zip(packages_of(run), (3, 2), strict=True):
        restoration = restored(package, (3, 21, 30))
        assert len(restoration.images) == n_results
        for image in restoration.images.values():
            if task == "project":
                assert (image.axes, image.shape) == ("CYX", (2, 21, 30))
                continue
            n_planes = int(3 * FACTOR[task])
            assert (image.axes, image.shape) == ("CZYX", (2, n_planes, 21, 30))
            assert image.pixel_size_um["Z"] == pytest.approx(2.0 / float(FACTOR[task]))
            assert image.metadata.origin_um["Z"] == pytest.approx(1.0 / float(FACTOR[task]) - 1.0)


def test_tiled_equals_whole_and_z_is_never_cut(run):
    for package in packages_of(run):
        whole, tiled = (restored(package, (4, 61, 75), tile=tile) for tile in ("whole", 40))
        assert tiled.report.provenance.n_tiles > 3
        assert tiled.report.provenance.tile[0] == 4
        for name, image in whole.images.items():
            np.testing.assert_allclose(tiled.images[name].array(), image.array(), rtol=1e-4, atol=0.02, err_msg=name)


def test_scores_and_coverage_are_of_the_pairs_that_were_held_back(run):
    for package, folder in zip(packages_of(run), ("", "member-2"), strict=True):
        section = package.manifest.carezoo
        assert section.scores["n_images"] == 2  # one for each channel
        assert section.scores["psnr_db"] > 5
        assert {"50", "90", "95"} == set(next(iter(section.calibration.coverage.values())))
        assert any((run[1] / folder / "report").glob("*.html"))


def test_test_tensors_are_whole_and_what_others_may_not_cut_is_fixed(run):
    for package in packages_of(run):
        source, target = (package.load_array(f"test_{end}put.npy") for end in ("in", "out"))
        n_planes = source.shape[2]
        axes = {axis.get("id"): axis for axis in package.manifest.rdf["inputs"][0]["axes"]}
        assert axes["z"]["size"] == n_planes
        if run[0] != "project":
            assert target.shape[2] == n_planes * FACTOR[run[0]]


def test_both_packages_show_one_calibration_on_the_files_to_choose_on(run):
    for package in packages_of(run):
        calibration = package.manifest.carezoo.calibration
        assert calibration.nll <= calibration.nll_before
        assert 0.1 < calibration.factor < 10  # scales begin at what noise has, so they cannot be far off


@pytest.mark.slow
def test_bioimageio_takes_the_packages(run, tmp_path):
    paths = [package.path for package in packages_of(run)]
    assert judging.verdicts(paths, tmp_path) == {str(path): ("ModelDescr", "passed", ()) for path in paths}
