"""Publishing: checked, never twice, version numbers that keep their promise, and read by others as it lies there."""

import json
import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import packages
import pytest
import servers
import yaml

from carezoo.errors import AlreadyPublishedError, CheckError, InputError, ZooError
from carezoo.package.draft import Author
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry import folder as folder_
from carezoo.registry import index
from carezoo.registry import publish as publish_
from carezoo.registry.publish import bioimageio_zip, publish, rebuild
from carezoo.registry.resolve import resolve
from carezoo.registry.site.pages import write_site


@pytest.fixture
def made(tmp_path):
    """Write a package as a trainer leaves it, and return its path."""

    def make(draft=None, **changes):
        draft = replace(draft or packages.denoise_2d(), **changes)
        return write_package(draft, tmp_path / "runs" / f"{draft.id}-{draft.version}.zip", overwrite=True)

    return make


@pytest.fixture
def unchecked(monkeypatch):
    """Leave out the checks of the graph, which have tests of their own and cost a second each."""

    class Passed:
        def raise_if_failed(self):
            return None

    monkeypatch.setattr("carezoo.registry.publish.check", lambda package, **_: Passed())


def test_publish_writes_everything_a_server_needs(made, tmp_path):
    zoo = tmp_path / "zoo"
    told = []
    done = publish(made(), zoo, comment="The first one.", url="https://example.org/zoo/", progress=told.append)
    assert done.version.reference == "test-2d@1.0.0"
    assert "check halo" in told
    (version,) = folder_.read_index(zoo).versions
    assert version.comment == "The first one."
    for path in ("index.html", "test-2d/index.html", "test-2d/rdf.yaml", "test-2d/1.0.0/rdf.yaml", version.zip.url):
        assert (zoo / path).is_file(), path
    assert json.loads((zoo / "id_map.json").read_text()) == {
        name: {"source": "https://example.org/zoo/test-2d/1.0.0/rdf.yaml", "sha256": version.sha256}
        for name in ("test-2d", "test-2d/1.0.0")
    }
    assert json.loads((zoo / "all_versions.json").read_text())["entries"][0]["concept"] == "test-2d"
    with zipfile.ZipFile(zoo / version.zip.url) as archive:
        assert archive.namelist()[0] == "rdf.yaml", "deepImageJ looks there"


def test_a_dry_run_writes_nothing(made, tmp_path, unchecked):
    done = publish(made(), tmp_path / "zoo", dry_run=True)
    assert done.version.reference == "test-2d@1.0.0"
    assert not (tmp_path / "zoo").exists()


def test_a_package_that_fails_its_check_is_not_published(made, tmp_path):
    wrong = made(rules={letter: packages.AxisRule(2, 2, 2) for letter in "YX"})
    with pytest.raises(CheckError, match="halo"):
        publish(wrong, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_a_version_is_never_replaced(made, tmp_path, unchecked):
    zoo = tmp_path / "zoo"
    publish(made(), zoo)
    before = {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()}
    with pytest.raises(AlreadyPublishedError, match="published already, with the same content"):
        publish(made(), zoo)
    with pytest.raises(AlreadyPublishedError, match="with other content; give this one a new version"):
        publish(made(description="Other words."), zoo)
    (zoo / "index.json").write_bytes(index.render(index.Index()))
    with pytest.raises(AlreadyPublishedError, match="was published with other content"):
        publish(made(description="Other words."), zoo)
    (zoo / "index.json").write_bytes(before[zoo / "index.json"])
    assert {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()} == before


WORDS = {"description": "Other words."}
TWO = packages.probabilistic_2d(id="test-2d")


@pytest.mark.parametrize(
    ("draft", "version", "needed"),
    [
        (packages.denoise_2d(**WORDS), "1.2.4", None),
        (packages.denoise_2d(**WORDS), "1.2.3", "published already"),
        (packages.denoise_2d(seed=1), "1.3.0", None),
        (packages.denoise_2d(seed=1), "1.2.4", "weights have changed since 1.2.3, so its version has to be 1.3.0"),
        (TWO, "2.0.0", None),
        (TWO, "1.3.0", r"the contract \(tensors.*has to be 2.0.0"),
        (packages.denoise_2d(normalization=packages.Percentiles(1.0, 99.0)), "1.3.0", "has to be 2.0.0"),
        (packages.denoise_2d(input_channels=("membranes",)), "1.3.0", "has to be 2.0.0"),
        (packages.denoise_2d(task="isotropic"), "1.3.0", "has to be 2.0.0"),
        (packages.denoise_2d(**WORDS), "1.0.0", None),
    ],
    ids=[
        "words",
        "words same",
        "weights",
        "weights as patch",
        "contract",
        "output",
        "percentiles",
        "channel",
        "task",
        "old",
    ],
)
def test_version_numbers_promise_how_much_changed(made, tmp_path, unchecked, draft, version, needed):
    zoo = tmp_path / "zoo"
    publish(made(packages.denoise_2d(), version="1.2.3"), zoo, is_zips_only=True)
    package = made(draft, version=version)
    if needed:
        with pytest.raises(ZooError, match=needed):
            publish(package, zoo)
    else:
        publish(package, zoo)
        assert version in {each.version for each in folder_.read_index(zoo).versions}


def test_a_halo_is_no_part_of_the_contract(made):
    old = open_package(made(version="1.0.0"))
    new = open_package(made(version="1.1.0", rules={letter: packages.AxisRule(2, 2, 8) for letter in "YX"}))
    assert publish_.change(old, new) == "words"


def test_patches_of_old_versions_are_held_against_their_own_predecessor(made, tmp_path, unchecked):
    zoo = tmp_path / "zoo"
    publish(made(version="1.0.0"), zoo, is_zips_only=True)
    publish(made(TWO, version="2.0.0"), zoo)
    assert publish(made(version="1.0.1", **WORDS), zoo).change == "only words have changed since 1.0.0"
    assert resolve("test-2d", [zoo]).version == "2.0.0"


def test_a_folder_with_other_things_is_left_alone(made, tmp_path, unchecked):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(ZooError, match="is not empty and not a zoo"):
        publish(made(), tmp_path / "photos")


def test_a_zoo_of_zips_becomes_a_site_for_everybody(made, tmp_path, unchecked):
    zoo, site = tmp_path / "zoo", tmp_path / "site"
    publish(made(version="1.0.0"), zoo, comment="First.", is_zips_only=True)
    publish(made(seed_of(1), version="1.1.0"), zoo)
    assert sorted(path.name for path in zoo.rglob("*") if path.is_file()) == [
        "index.json",
        "test-2d-1.0.0.zip",
        "test-2d-1.1.0.zip",
    ]
    assert write_site(zoo, site) == 1
    assert [each.comment for each in folder_.read_index(site).versions] == ["First.", ""]
    assert (site / "test-2d" / "rdf.yaml").read_bytes() == (site / "test-2d" / "1.1.0" / "rdf.yaml").read_bytes()
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    write_site(zoo, site)
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert resolve("test-2d@1.0.0", [site]).version == "1.0.0"


def seed_of(seed):
    return packages.denoise_2d(seed)


def test_rebuilding_leaves_out_what_was_taken_away(made, tmp_path, unchecked):
    zoo = tmp_path / "zoo"
    publish(made(version="1.0.0"), zoo, comment="First.", is_zips_only=True)
    publish(made(version="1.0.1", **WORDS), zoo)
    (zoo / "packages" / "test-2d-1.0.1.zip").unlink()
    assert [(each.version, each.comment) for each in rebuild(zoo).versions] == [("1.0.0", "First.")]
    (zoo / "packages" / "other.zip").write_bytes((zoo / "packages" / "test-2d-1.0.0.zip").read_bytes())
    with pytest.raises(ZooError, match=r"holds test-2d@1.0.0; expected it at"):
        rebuild(zoo)


@pytest.mark.parametrize("is_zips_only", [True, False])
def test_rebuilding_refuses_a_zip_that_was_replaced(made, tmp_path, unchecked, is_zips_only):
    zoo = tmp_path / "zoo"
    done = publish(made(version="1.0.0"), zoo, is_zips_only=is_zips_only)
    listed = (zoo / "index.json").read_bytes()
    done.path.write_bytes(made(seed_of(1), version="1.0.0").read_bytes())
    with pytest.raises(ZooError, match="not the file that was published"):
        rebuild(zoo)
    assert (zoo / "index.json").read_bytes() == listed


def test_of_what_was_taken_away_nothing_stays(made, tmp_path, unchecked):
    zoo = tmp_path / "zoo"
    first = publish(made(version="1.0.0"), zoo)
    other = publish(made(packages.denoise_3d()), zoo)
    second = publish(made(version="1.0.1", **WORDS), zoo)
    other.path.unlink()
    second.path.unlink()
    rebuild(zoo)
    assert not (zoo / "test-3d").exists()
    assert sorted(path.name for path in (zoo / "test-2d").glob("[0-9]*")) == ["1.0.0"]
    newest = (zoo / "test-2d" / "rdf.yaml").read_bytes()
    assert newest == (first.path.parent / "rdf.yaml").read_bytes()


@pytest.mark.parametrize("zoo", ["https://example.org/zoo", "https:/example.org/zoo", "s3://bucket/zoo"])
def test_an_address_is_no_folder_to_publish_into(made, monkeypatch, tmp_path, zoo):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected a folder"):
        publish(made(), zoo)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_two_that_publish_at_once_are_both_listed(made, tmp_path, unchecked, monkeypatch):
    zoo = tmp_path / "zoo"
    runs = [made(packages.denoise_2d(id=name)) for name in ("first-2d", "second-2d")]
    publish(made(), zoo, is_zips_only=True)
    read = folder_.read_index

    def slowly(*given):
        found = read(*given)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(folder_, "read_index", slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda path: publish(path, zoo), runs))
    assert read(zoo).names() == ["first-2d", "second-2d", "test-2d"]


def test_a_package_in_a_folder_is_published_as_a_zip(tmp_path, unchecked):
    folder = write_package(packages.denoise_2d(), tmp_path / "run" / "package")
    done = publish(folder, tmp_path / "zoo", is_zips_only=True)
    assert open_package(done.path).sha256 == open_package(folder).sha256


def test_the_zip_for_bioimage_io(made, tmp_path):
    target = tmp_path / "upload.zip"
    missing = bioimageio_zip(made(git_repo="https://github.com/me/mine"), target)
    package = open_package(target)
    assert "id" not in package.manifest.rdf
    assert package.manifest.rdf["name"] == "Test model test-2d"
    assert package.names()[-1] == "weights.onnx"
    assert "covers: a picture" in missing
    assert any(line.startswith("uploader") for line in missing)
    assert not any(line.startswith(("cite", "git_repo", "documentation")) for line in missing)
    with pytest.raises(InputError, match="exists already"):
        bioimageio_zip(made(), target)
    anonymous = bioimageio_zip(made(authors=(Author("Jane Doe"),)), tmp_path / "other.zip")
    assert "authors: an affiliation or ORCID of each" in anonymous


READ = """
import os, sys
from bioimageio.spec import load_model_description
from bioimageio.core import test_model
for source in sys.argv[1:]:
    model = load_model_description(source, format_version="latest")
    print(source, model.id, model.version)
if "{bioimageio_id}/rdf.yaml" in os.environ["BIOIMAGEIO_COLLECTION_HTTP_PATTERN"]:
    print(test_model(sys.argv[1], weight_format="onnx").status)
"""


def _read_by_bioimageio(sources, tmp_path, **variables):
    cache = str(tmp_path / "bioimageio")
    environment = {**os.environ, "BIOIMAGEIO_CACHE_PATH": cache, **variables}
    command = [sys.executable, "-W", "ignore", "-c", READ, *sources]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_bioimageio_core_reads_a_served_zoo_by_name(made, tmp_path, unchecked):
    """Unmodified, through its own variables: by pattern and by id map; by the address of a zip as deepImageJ does."""
    pytest.importorskip("bioimageio.core")
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    with servers.serving(zoo) as server:
        publish(made(version="1.0.0"), zoo, url=server.url)
        publish(made(version="1.0.1", **WORDS), zoo)
        archive = f"{server.url}/test-2d/1.0.1/test-2d-1.0.1.zip"
        lines = _read_by_bioimageio(
            ["test-2d", "test-2d/1.0.0", archive],
            tmp_path,
            BIOIMAGEIO_COLLECTION_HTTP_PATTERN=server.url + "/{bioimageio_id}/rdf.yaml",
        )
        assert lines == ["test-2d test-2d 1.0.1", "test-2d/1.0.0 test-2d 1.0.0", f"{archive} test-2d 1.0.1", "passed"]
        lines = _read_by_bioimageio(
            ["test-2d", "test-2d/1.0.0"],
            tmp_path,
            BIOIMAGEIO_COLLECTION_HTTP_PATTERN=server.url + "/nowhere/{bioimageio_id}",
            BIOIMAGEIO_ID_MAP=server.url + "/id_map.json",
        )
        assert lines == ["test-2d test-2d 1.0.1", "test-2d/1.0.0 test-2d 1.0.0"]
    rdf = yaml.safe_load((zoo / "test-2d" / "rdf.yaml").read_text())
    assert rdf["version"] == "1.0.1"
