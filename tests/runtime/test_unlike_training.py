"""An image unlike the training images: told for each file, on the summary line, and in the metadata of the result."""

import json

import numpy as np
import packages
import pytest

from carezoo import files
from carezoo.cli.main import run
from carezoo.domain_check import ImageSample, describe
from carezoo.image import Image
from carezoo.package.manifest import Record
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore


def speckled(seed, gain=1.0):
    rng = np.random.default_rng(seed)
    return (gain * rng.poisson(np.kron(rng.gamma(1, 20, (16, 16)), np.ones((8, 8))))).astype(np.float32)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    samples = [ImageSample(Image(speckled(seed), "YX", {"Y": 0.1, "X": 0.1}), (0,)) for seed in range(6)]
    record = describe({"speckled": samples}, np.random.default_rng(0))
    draft = packages.denoise_2d(record=Record(training_images=record))
    return write_package(draft, tmp_path_factory.mktemp("package") / "model.zip")


def test_the_record_survives_the_package_in_few_lines(package):
    opened = open_package(package)
    record = opened.manifest.carezoo.training_images
    assert record["channels"][0]["kinds"][0]["n_images"] == 6
    text = packages_text(package)
    assert text.count("\n", text.index("training_images:")) < 150


def packages_text(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read("rdf.yaml").decode()


def test_restoring_warns_and_the_result_remembers(package, tmp_path, capsys):
    files.write_image(tmp_path / "like.tif", Image(speckled(10), "YX", {"Y": 0.1, "X": 0.1}))
    files.write_image(tmp_path / "unlike.tif", Image(-speckled(11), "YX", {"Y": 0.4, "X": 0.4}))
    assert run(["restore", str(tmp_path), "-m", str(package), "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert told.count("pixel size 0.4 µm, trained at 0.1 µm") == 1
    assert "contrast looks inverted" in told
    assert told.splitlines()[-1] == "2 restored, 1 of them unlike the training images"
    notes = {
        name: files.read_notes(tmp_path / "out" / f"{name}_restored.tif")["carezoo"]["run"]["unlike_training"]
        for name in ("like", "unlike")
    }
    assert notes["like"] == []
    assert notes["unlike"][0] == "pixel size 0.4 µm, trained at 0.1 µm"


def test_json_has_the_reasons(package, tmp_path, capsys):
    files.write_image(tmp_path / "unlike.tif", Image(-speckled(11), "YX"))
    run(["restore", str(tmp_path / "unlike.tif"), "-m", str(package), "--json"])
    (outcome,) = json.loads(capsys.readouterr().out)
    assert any("inverted" in reason for reason in outcome["reports"][0]["provenance"]["unlike_training"])


def test_packages_without_a_record_say_nothing(tmp_path):
    package = open_package(write_package(packages.denoise_2d(), tmp_path / "old.zip"))
    report = restore(Image(-speckled(1), "YX"), package).report
    assert report.provenance.unlike_training == ()
    assert not any("unlike" in warning for warning in report.warnings)
