"""Which models the nodes offer, and that the one that was chosen is the one that runs, without KNIME."""

import hashlib
from dataclasses import asdict

import packages
import pytest

from carezoo.errors import InputError, IntegrityError, UnknownModelError, ZooError
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry import index
from carezoo.registry.catalog import version_of
from carezoo.registry.index import Index, Zip
from carezoo_knime import models
from carezoo_knime.models import ChosenModel, ModelFields

SHIPS = "denoise-bpae-2d"


@pytest.fixture(autouse=True)
def settings(tmp_path):
    """Keep tests away from the user's models, and yield what may change that."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAREZOO_CACHE", str(tmp_path / "cache"))
        environment.delenv("CAREZOO_ZOO", raising=False)
        yield environment


@pytest.fixture
def zoo(tmp_path):
    folder = tmp_path / "zoo"
    folder.mkdir()
    path = folder / "test-2d-1.0.0.zip"
    write_package(packages.ensemble_2d(), path)
    content = path.read_bytes()
    archive = Zip(path.name, hashlib.sha256(content).hexdigest(), len(content))
    (folder / index.NAME).write_bytes(index.render(Index((version_of(open_package(path), archive),))))
    return folder


def wanted(**given):
    return ModelFields.from_dialog(**{"name": "", "version": "", "package": "", "zoo": "", **given})


def test_a_name_becomes_an_exact_version_that_is_found_again(zoo):
    name = open_package(zoo / "test-2d-1.0.0.zip").manifest.id
    chosen = models.choose(wanted(name=f" {name} ", zoo=str(zoo)))
    assert (chosen.name, chosen.version, chosen.reference) == (name, "1.0.0", f"{name}@1.0.0")
    again = ChosenModel(**asdict(chosen))
    assert again == chosen
    assert again.open().sha256 == chosen.sha256


def test_models_that_ship_are_there_without_a_zoo():
    chosen = models.choose(wanted(name=SHIPS))
    assert chosen.reference == f"{SHIPS}@{chosen.version}"
    assert chosen.open().manifest.id == SHIPS
    assert SHIPS in models.names()


def test_a_package_goes_before_a_name_and_is_known_by_its_hash(tmp_path):
    path = tmp_path / "own.zip"
    write_package(packages.denoise_2d(), path)
    chosen = models.choose(wanted(name=SHIPS, package=str(path)))
    assert chosen.reference == str(path)
    path.unlink()
    with pytest.raises(ZooError, match="no package at"):
        chosen.open()
    write_package(packages.denoise_2d(seed=3), path)
    with pytest.raises(IntegrityError, match="is not the package that CARE Model chose"):
        chosen.open()


def test_what_cannot_be_chosen_is_told():
    with pytest.raises(InputError, match="choose a model"):
        wanted(name="  ")
    with pytest.raises(InputError, match="there is no package at nowhere"):
        wanted(package="nowhere.zip")
    with pytest.raises(UnknownModelError, match=f"Did you mean {SHIPS}"):
        models.choose(wanted(name="denoise-bpae"))
    with pytest.raises(UnknownModelError, match="has no version 77"):
        models.choose(wanted(name=SHIPS, version="77.0.0"))


def test_the_table_lists_what_ships_and_what_a_zoo_has(zoo):
    rows = {row.name: row for row in models.zoo_rows(f" {zoo} ")}
    name = open_package(zoo / "test-2d-1.0.0.zip").manifest.id
    assert {name, SHIPS} <= set(rows)
    assert (rows[name].axes, rows[name].results) == ("YX", "mean, scale, disagreement")
    assert rows[name].megabytes == pytest.approx((zoo / "test-2d-1.0.0.zip").stat().st_size / 1e6)
    assert (rows[SHIPS].is_here, rows[SHIPS].zoo) == ("yes", "ships with carezoo")
    assert name not in {row.name for row in models.zoo_rows()}
    with pytest.raises(ZooError, match="is not a zoo"):
        models.zoo_rows(str(zoo.parent))


def test_a_dialog_offers_what_is_here_when_a_zoo_cannot_be_read(zoo, settings, caplog):
    settings.setenv("CAREZOO_ZOO", str(zoo))
    assert open_package(zoo / "test-2d-1.0.0.zip").manifest.id in models.names()
    settings.setenv("CAREZOO_ZOO", str(zoo.parent / "gone"))
    assert SHIPS in models.names()
    assert "lists the models on this computer only" in caplog.text
