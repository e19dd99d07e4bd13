"""`carezoo adapt`: a model becomes better for images of one's own, or stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import carezoo
from carezoo.cli.main import run
from carezoo.errors import NoGainError, RecipeError
from carezoo.evaluate.assessment import RESTORED
from carezoo.evaluate.estimated import EstimatedError, EstimatedScores
from carezoo.noise.correlation import Estimate
from carezoo.package.read import open_package
from carezoo.train.adapt import describe_adaptation
from carezoo.train.pack.estimates import Estimates
from carezoo.train.recipe import Recipe
from carezoo.train.run import train


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Leave out the processes that measure memory."""
    monkeypatch.setattr("carezoo.train.pack.draft_tools.bytes_per_pixel", lambda weights, n_channels, rules: 100)


def save_scene(folder, *, seed, sigma, gain=2.0):
    """Save a noisy image of blobs."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.standard_normal((400, 96)), sigma)
    clean = 6 + 30 * np.clip(blobs / blobs.max(), 0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    noisy = (gain * rng.poisson(clean) + 10).astype(np.uint16)
    tifffile.imwrite(folder / "one.tif", noisy, metadata={"axes": "YX"})
    return noisy, gain * clean + 10


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return a package that was hardly trained."""
    folder = tmp_path_factory.mktemp("base")
    save_scene(folder / "noisy", seed=1, sigma=2)
    recipe = Recipe.from_dict(
        {
            "name": "blobs",
            "version": "1.3.0",
            "data": {"folder": str(folder), "channels": ["blobs"], "sets": [{"source": "noisy", "target": "thinned"}]},
            "patches": {"size": {"y": 32, "x": 32}},
            "network": {"depth": 1, "kernel": 3, "n_first": 4, "probabilistic": True},
            "training": {"n_epochs": 1, "steps_per_epoch": 4, "batch_size": 2},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carezoo.train.pack.draft_tools.bytes_per_pixel", lambda weights, n_channels, rules: 100)
        return train(recipe, folder / "run")


@pytest.fixture
def _fast_steps(monkeypatch):
    monkeypatch.setattr("carezoo.train.adapt.LEARNING_RATE", 3e-3)
    monkeypatch.setattr("carezoo.train.adapt.EPOCHS", (3, 15))


@pytest.mark.usefixtures("_fast_steps")
def test_an_adapted_model_is_better_and_a_new_version_with_its_parent(base, tmp_path, capsys):
    noisy, clean = save_scene(tmp_path / "mine", seed=2, sigma=5)
    assert run(["adapt", str(base), str(tmp_path / "mine"), "-o", str(tmp_path / "run"), "--minutes", "1"]) == 0
    out, err = capsys.readouterr()
    assert "On these images blobs 1.4.0" in err
    package = open_package(out.strip())
    assert package.manifest.reference == "blobs 1.4.0"
    assert package.manifest.rdf["parent"] == {"id": "blobs", "version": "1.3.0"}
    assert "blobs 1.3.0, from which the training started, takes" in package.read_bytes("README.md").decode()
    before, after = (np.asarray(carezoo.load(each).restore(noisy, "YX").mean) for each in (base, out.strip()))
    assert np.square(after - clean).mean() < 0.8 * np.square(before - clean).mean()


def test_a_model_that_does_not_get_better_is_kept(base, tmp_path, monkeypatch):
    monkeypatch.setattr("carezoo.train.adapt.LEARNING_RATE", 3.0)
    monkeypatch.setattr("carezoo.train.adapt.EPOCHS", (1, 4))
    save_scene(tmp_path / "mine", seed=2, sigma=5)
    with pytest.raises(NoGainError, match=r"blobs 1\.3\.0.*keep it"):
        carezoo.load(base).adapt(tmp_path / "mine", tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.zip"))
    assert not (tmp_path / "run" / "package").exists()


def estimated(model, share):
    methods = {RESTORED: EstimatedError("Restored", {}, Estimate(share, 0.01), None)}
    return EstimatedScores(model, methods, {}, 1, 1)


def test_a_loss_on_images_to_report_on_is_refused_too():
    parent = estimated("blobs 1.3.0", 0.1)
    with pytest.raises(NoGainError, match=r"blobs 1\.3\.0 as it is takes 10.0 .* and 9.6 .*keep it"):
        Estimates(estimated("blobs 1.4.0", 0.11), parent).require_gain()
    Estimates(estimated("blobs 1.4.0", 0.09), parent).require_gain()
    Estimates(estimated("blobs 1.4.0", 0.09), None).require_gain()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("isotropic-nuclei", "serves task isotropic"),
        ("denoise-nuclei-3d", "too small along Z"),
    ],
)
def test_models_that_cannot_be_adapted_are_refused(tmp_path, name, words):
    save_scene(tmp_path / "mine", seed=2, sigma=5)
    with pytest.raises(Exception, match=words):
        describe_adaptation(carezoo.load(name).package, tmp_path / "mine")


def test_the_recipe_is_that_of_the_model_with_other_images(tmp_path):
    save_scene(tmp_path / "mine", seed=2, sigma=5)
    package = carezoo.load("denoise-nuclei-confocal-2d-ensemble").package
    recipe = describe_adaptation(package, tmp_path / "mine")
    own = package.manifest.carezoo.network.settings
    assert (recipe.members, recipe.network.n_first) == (5, own["n_first"])
    assert recipe.data.channels == package.manifest.input.channels
    assert recipe.training.loss == "noisy"
    for size in recipe.patches.size.by_axis.values():
        assert size % 2**recipe.network.depth == 0
    channels = np.zeros((2, 200, 96), np.uint16)
    tifffile.imwrite(tmp_path / "mine" / "one.tif", channels, metadata={"axes": "CYX"})
    with pytest.raises(RecipeError, match="images have 2"):
        describe_adaptation(package, tmp_path / "mine")
