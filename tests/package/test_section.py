"""`config.carezoo`: what is written is read back, and the manifest answers what the rest of carezoo asks."""

from dataclasses import fields, replace
from fractions import Fraction

import packages
import pytest
import yaml

from carezoo.errors import ManifestError
from carezoo.package import rdf
from carezoo.package.manifest import (
    Architecture,
    Calibration,
    DataSource,
    FitSummary,
    Record,
    Section,
    TrainingSummary,
)
from carezoo.package.rdf_text import render
from carezoo.package.read import open_package
from carezoo.uncertainty.levels import Recalibration

RECORD = Record(
    parity={"torch": 1e-6, "sizes": [[32, 48]]},
    fast={"unmeasured": "no device"},
    converted={"from": "CSBDeep"},
    network=Architecture("UNet", {"depth": 2, "kernel": 3, "projection": {"depth": 1}}, 1234),
    training=TrainingSummary(
        data=(
            DataSource(name="a", license="CC0-1.0", origin="here", n_files={"fit": 2, "report": 1}, parts="2 and 1"),
        ),
        members=(FitSummary(n_steps=4, n_epochs=2, best_epoch=1, best_validation_loss=-0.5),),
        precision="float32",
        device="cpu",
        libraries={"torch": "2.13.0"},
        python="3.11.7",
    ),
    training_images={"version": 1, "channels": []},
    calibration=Calibration(
        factor=1.07,
        nll_before=-1.0,
        nll=-1.5,
        n_pixels=100,
        levels=Recalibration((0.5, 0.9), (0.4, 0.8)),
        coverage={"all": {"50": 0.5}},
    ),
    halo_measured={"y": 5},
    scores={"psnr_db": 30.0, "gain_error": None},
)


def read(draft, change=lambda section: None):
    content = yaml.safe_load(render(draft))
    change(content["config"]["carezoo"])
    return rdf.parse(yaml.safe_dump(content).encode())


def test_everything_on_record_is_read_back():
    section = read(packages.denoise_2d(record=RECORD)).carezoo
    assert all(getattr(RECORD, each.name) is not None for each in fields(Record))
    assert {each.name: getattr(section, each.name) for each in fields(Record)} == vars(RECORD)
    assert (section.bytes_per_pixel, type(section.bytes_per_pixel)) == (200, int)


@pytest.mark.parametrize("key", ["parity", "fast", "converted", "network", "training", "training_images", "scores"])
@pytest.mark.parametrize("value", ["words", [1], {"members": 3, "name": [], "data": "none"}])
def test_what_nothing_runs_with_may_hold_anything(key, value):
    manifest = read(packages.denoise_2d(record=RECORD), lambda section: section.update({key: value}))
    is_plain = key not in {"network", "training"} and isinstance(value, dict)
    assert getattr(manifest.carezoo, key) == (value if is_plain else None)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("words", r"carezoo\.calibration: expected a mapping, found 'words'"),
        ({"factor": "much"}, r"carezoo\.calibration\.factor: expected a number, found 'much'"),
        ({"levels": [[0.5, 0.4], [0.4, 0.8]]}, r"carezoo\.calibration\.levels: expected pairs of levels"),
        ({"coverage": {"all": 3}}, r"carezoo\.calibration\.coverage\.all: expected a mapping"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused(value, where):
    with pytest.raises(ManifestError, match=where):
        read(packages.probabilistic_2d(), lambda section: section.update(calibration=value))


@pytest.mark.parametrize(
    ("name", "factors", "lost"),
    [
        ("denoise_2d", {"Y": 1, "X": 1}, ""),
        ("denoise_3d", {"Z": 1, "Y": 1, "X": 1}, ""),
        ("upsample_3d", {"Z": Fraction(5, 2), "Y": 1, "X": 1}, ""),
        ("project_3d", {"Z": 1, "Y": 1, "X": 1}, "Z"),
    ],
)
def test_the_manifest_says_what_becomes_of_each_axis(name, factors, lost):
    manifest = read(packages.DRAFTS[name]())
    assert {letter: manifest.factor(letter) for letter in manifest.spatial_axes} == factors
    assert [letter for letter in "BCTZYX" if manifest.loses(letter)] == list(lost)
    sizes = {letter: manifest.main.restored_size(letter, 7) for letter in manifest.spatial_axes}
    assert sizes == {letter: 1 if letter in lost else int(7 * factor) for letter, factor in factors.items()}


def test_the_main_output_is_that_of_the_first_result(tmp_path):
    manifest = open_package(packages.FOREIGN["foreign_05_two"](tmp_path / "model")).manifest
    assert manifest.main.name == "mu"
    assert replace(manifest, results=manifest.results[::-1]).main.name == "sigma"


def test_packages_made_elsewhere_have_no_section(tmp_path):
    manifest = open_package(packages.foreign_05(tmp_path / "model")).manifest
    assert not manifest.is_by_carezoo
    assert manifest.carezoo == Section()
    assert manifest.recalibration is None
    assert read(packages.denoise_2d()).is_by_carezoo
