"""Converted models give CSBDeep's numbers for CSBDeep's weights (recorded: tests/golden/csbdeep)."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from carezoo import axes as axes_
from carezoo.image import Image
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore
from carezoo.settings import Settings
from carezoo.train.convert import folder, network, packing
from carezoo.train.convert.folder import Choices
from carezoo.train.pack import draft_tools

GOLDEN = Path(__file__).parents[1] / "golden" / "csbdeep"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
TOLERANCE = 1e-5
"""Of the range of intensities; carezoo promises 1e-4."""


def _golden(case):
    with np.load(GOLDEN / case / "golden.npz") as file:
        return dict(file)


def _converted(case, golden, factor=1):
    """Return the network of a case, found as `carezoo convert` finds it."""
    task = folder.CLASSES[str(golden["model_class"])]
    found = folder.find(GOLDEN / case, Choices(task=task))
    return found, network.load(found.config, found.weights, task, Fraction(factor))


def _package(case, golden, tmp_path, monkeypatch):
    """Return the package of a case; its factor is 1, so that it takes CSBDeep's own interpolated stack."""
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda *_: 1000)  # measured by processes of their own
    found, restorer = _converted(case, golden)
    choices = Choices(percentiles=tuple(golden["percentiles"].tolist()))
    sample = packing.simulate_sample(restorer.geometry.axes, restorer.n_in, Fraction(1))
    return open_package(write_package(packing.draft(found, restorer, sample, choices), tmp_path / "package.zip"))


def test_every_class_has_goldens():
    assert {str(_golden(case)["model_class"]) for case in CASES} == set(folder.CLASSES)


@pytest.mark.parametrize("case", CASES)
def test_the_bare_network(case):
    golden = _golden(case)
    _, restorer = _converted(case, golden)
    trained = restorer.network if "factor" in golden else restorer
    source = np.moveaxis(golden["network_in"], -1, 1)
    with torch.no_grad():
        output = trained(torch.from_numpy(source.copy())).numpy()
    np.testing.assert_allclose(np.moveaxis(output, 1, -1), golden["network_out"], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_whole_prediction_on_odd_sizes(case, tmp_path, monkeypatch):
    """The package restores what CSBDeep predicted; with interpolation, from CSBDeep's interpolated stack."""
    golden = _golden(case)
    package = _package(case, golden, tmp_path, monkeypatch)
    settings, low, width = Settings(provider="cpu", n_threads=1), 0.0, 1.0
    image = Image(golden["image"], str(golden["axes"]))
    if "interpolated" in golden:
        image = Image(golden["interpolated"], str(golden["interpolated_axes"]))
    if golden["model_class"] == "IsotropicCARE":  # interpolated after normalization: nothing is left to measure
        settings = Settings(provider="cpu", n_threads=1, intensity_range=(0.0, 1.0))
        low, width = golden["low"].astype(float), golden["high"].astype(float) - golden["low"]
    restored = restore(image, package, settings).images
    tolerance = TOLERANCE * (1.0 if case == "care2d_1to2" else float(np.max(golden["high"] - golden["low"])))
    for name, offset in (("mean", low), ("scale", 0.0)):
        assert (name in restored) == (f"predict_{name}" in golden)
        if name in restored:
            found = axes_.move(restored[name].array(), restored[name].axes, _golden_axes(case, golden))
            found = _per_channel(found, offset, width, _golden_axes(case, golden))
            np.testing.assert_allclose(found, golden[f"predict_{name}"], rtol=0, atol=tolerance)


def _golden_axes(case, golden):
    axes = str(golden["axes"])
    if golden["model_class"] == "ProjectionCARE":
        return axes.replace("Z", "")
    return axes + "C" if case == "care2d_1to2" else axes


def _per_channel(values, offset, width, axes):
    """Return values in the intensities of the image: with one offset and width for each channel."""
    shape = [-1 if letter == "C" else 1 for letter in axes]
    return values * np.reshape(width, shape) + np.reshape(offset, shape)
