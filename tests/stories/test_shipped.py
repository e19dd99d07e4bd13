"""Every package that ships does what it says: its own checks, bioimageio.core's, and the scores of its card."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

import carezoo
from carezoo import files
from carezoo.check.run import check
from carezoo.package.read import open_package
from carezoo.registry.zoo import open_embedded
from carezoo.tasks import TASKS

VERSIONS = open_embedded().index().versions
REFERENCES = [version.reference for version in VERSIONS]
DATA = os.environ.get("CAREZOO_DATA")
SCORED_PX = 512
"""Largest side of what a report in 2D scores."""


def _package(reference):
    version = next(each for each in VERSIONS if each.reference == reference)
    return open_package(open_embedded().url(version.zip.url))


@pytest.mark.slow
@pytest.mark.parametrize("reference", REFERENCES)
def test_it_passes_its_checks_and_those_of_bioimageio(reference):
    pytest.importorskip("bioimageio.core", reason='needs the extra "bioimageio"')
    report = check(_package(reference), bioimageio=True)
    assert report.passed, [finding for finding in report.findings if not finding.passed]


@pytest.mark.parametrize("reference", REFERENCES)
def test_it_says_what_a_zoo_wants_to_know(reference):
    manifest = _package(reference).manifest
    assert manifest.carezoo.task in TASKS
    scores = manifest.carezoo.scores
    for below in ("psnr_db_input", "psnr_db_best_baseline"):
        assert scores["psnr_db"] > scores.get(below, 0.0), f"no better than {below}"
    for each in manifest.carezoo.training.data:
        assert each.license, f"{each.name} has no licence"
        assert each.origin, f"{each.name} has no origin"


def test_the_demo_image_scores_what_the_card_of_its_model_says():
    """The image of the demo is a crop of the one that the card reports on, and so is its gain in PSNR, nearly."""
    folder = open_embedded().folder / "demo"
    model = carezoo.load("denoise-bpae-2d")
    noisy, clean = files.open_image(folder / "noisy.tif").array(), files.open_image(folder / "clean.tif").array()
    told = model.manifest.carezoo.scores
    before, after = carezoo.score(noisy, clean), carezoo.score(model.restore(noisy, "YX").mean, clean)
    assert after.psnr_db - before.psnr_db == pytest.approx(told["psnr_gain_db"], abs=1.0)


def _pairs(package, data):
    """Return source and target of the planes that a card reports on, where the data folder has them."""
    recipe = yaml.safe_load(package.read_bytes("recipe.yaml"))
    found = []
    for each in (recipe.get("data") or {}).get("sets") or ():
        for source, target in zip(each["source"], each["target"], strict=True):
            for pattern in (each.get("split") or {}).get("report") or ():
                found += [(path, data / target / path.name) for path in sorted((data / source).glob(pattern))]
    return [pair for pair in found if pair[1].is_file()]


def _scored(image):
    """Return the middle of a large image, which is what cards report on."""
    starts = (max(0, (n - SCORED_PX) // 2) for n in image.shape)
    return image[tuple(slice(start, start + SCORED_PX) for start in starts)]


@pytest.mark.skipif(not DATA, reason="needs the folder of training data in CAREZOO_DATA")
@pytest.mark.parametrize("reference", REFERENCES)
def test_scores_measured_again_are_those_of_the_card(reference):
    package = _package(reference)
    pairs = list(_pairs(package, Path(DATA)))
    told = package.manifest.carezoo.scores
    if package.manifest.spatial_axes != "YX" or len(pairs) != told.get("n_images"):
        pytest.skip(f"the {told.get('n_images')} images of the card of {reference} are not in CAREZOO_DATA as they are")
    model = carezoo.load(package.path)
    scores = []
    for source, target in pairs:
        noisy, clean = (_scored(files.open_image(path).array()) for path in (source, target))
        restored = model.restore(noisy, "YX").mean
        scores.append([carezoo.score(image, clean).psnr_db for image in (noisy, restored)])
    before, after = np.mean(scores, axis=0)
    assert before == pytest.approx(told["psnr_db_input"], abs=0.02)
    assert after == pytest.approx(told["psnr_db"], abs=0.02)
