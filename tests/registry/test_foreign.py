"""Models of bioimage.io and of any address: only what runs, only what is needed, and from the cache afterwards."""

import hashlib

import packages
import pytest
import servers
import yaml

from carezoo.check.run import check
from carezoo.errors import DownloadError, IntegrityError, UnknownModelError, UnsupportedError
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry import bioimageio_models, cache
from carezoo.registry.resolve import pull, resolve


@pytest.fixture
def collection(tmp_path, env):
    """A server in the place of bioimage.io, with one model that has weights of two kinds."""
    folder = packages.foreign_05(tmp_path / "web" / "busy-otter")
    rdf = yaml.safe_load((folder / "rdf.yaml").read_text())
    (folder / "weights.pt").write_bytes(b"x" * 1000)
    rdf |= {"id": "busy-otter", "version": "0.3.0"}
    rdf["weights"]["torchscript"] = {
        "source": "weights.pt",
        "sha256": hashlib.sha256(b"x" * 1000).hexdigest(),
        "pytorch_version": "2.0",
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(rdf))
    with servers.serving(tmp_path / "web") as server:
        env.setenv(bioimageio_models.PATTERN_VARIABLE, server.url + "/{bioimageio_id}/rdf.yaml")
        yield server


@pytest.mark.parametrize("reference", ["bioimage.io/busy-otter", "bioimage-io/busy-otter", "bioimageio:busy-otter"])
def test_pull_by_id_runs(collection, reference):
    package = open_package(pull(reference).path)
    assert package.manifest.reference == "busy-otter 0.3.0"
    assert check(package).passed
    asked = {path for path, _ in collection.requests}
    assert "busy-otter/weights.onnx" in asked
    assert "busy-otter/weights.pt" not in asked, "weights that carezoo does not run stay where they are"


def test_pulled_once_it_needs_no_network(collection):
    pull("bioimage.io/busy-otter")
    n_requests = len(collection.requests)
    assert resolve("bioimage.io/busy-otter").path == resolve("busy-otter").path
    assert len(collection.requests) == n_requests


def test_pulling_again_takes_what_is_there_now(collection):
    pull("bioimage.io/busy-otter")
    path = collection.folder / "busy-otter" / "rdf.yaml"
    path.write_text(path.read_text().replace("0.3.0", "0.4.0"))
    pull("bioimage.io/busy-otter")
    assert [each.version for each in cache.list_pulled()] == ["0.4.0"]


def test_an_address_of_a_zip_or_an_rdf(collection, tmp_path):
    write_package(packages.denoise_2d(), collection.folder / "one.zip")
    assert open_package(resolve(f"{collection.url}/one.zip").path).manifest.id == "test-2d"
    assert open_package(resolve(f"{collection.url}/busy-otter/rdf.yaml?version=1").path).manifest.id == "busy-otter"


def test_a_query_tells_one_model_from_another(collection):
    for name in ("test-2d", "other-2d"):
        write_package(packages.denoise_2d(id=name), collection.folder / f"{name}.zip")
    first = pull(f"{collection.url}/test-2d.zip?token=1").path
    (collection.folder / "other-2d.zip").replace(collection.folder / "test-2d.zip")
    second = resolve(f"{collection.url}/test-2d.zip?token=2").path
    assert [open_package(path).manifest.id for path in (first, second)] == ["test-2d", "other-2d"]
    assert all("token" not in each.zoo for each in cache.list_pulled())


def test_a_version_of_the_collection_is_part_of_the_address(collection):
    (collection.folder / "busy-otter").rename(collection.folder / "tmp")
    (collection.folder / "busy-otter").mkdir()
    (collection.folder / "tmp").rename(collection.folder / "busy-otter" / "1.2")
    assert open_package(resolve("bioimage.io/busy-otter@1.2").path).manifest.id == "busy-otter"


def test_what_does_not_run_is_refused_before_its_weights_are_downloaded(collection):
    path = collection.folder / "busy-otter" / "rdf.yaml"
    rdf = yaml.safe_load(path.read_text())
    del rdf["weights"]["onnx"]
    path.write_text(yaml.safe_dump(rdf))
    with pytest.raises(UnsupportedError, match="ONNX"):
        pull("bioimage.io/busy-otter")
    assert [path for path, _ in collection.requests] == ["busy-otter/rdf.yaml"]
    assert cache.list_pulled() == ()


def test_damage_on_the_way_is_seen(collection):
    collection.fault("busy-otter/weights.onnx", servers.instead(lambda content: content[:-1] + b"?"))
    with pytest.raises(IntegrityError, match=r"weights.onnx is not the file the manifest describes"):
        pull("bioimage.io/busy-otter")
    collection.fault("busy-otter/weights.onnx", servers.status(404))
    with pytest.raises(DownloadError, match="404"):
        pull("bioimage.io/busy-otter")
    assert cache.list_pulled() == ()


@pytest.mark.parametrize("reference", ["bioimage.io/../x", "bioimage.io/A B", "bioimage.io/x/../../y"])
def test_ids_are_ids(reference):
    with pytest.raises(UnknownModelError, match=r"expected bioimage.io/ID"):
        pull(reference)


def test_an_rdf_that_names_files_elsewhere_is_refused(collection):
    path = collection.folder / "busy-otter" / "rdf.yaml"
    path.write_text(path.read_text().replace("weights.onnx", "../../secret.onnx"))
    with pytest.raises(IntegrityError, match="leads out of the package"):
        pull("bioimage.io/busy-otter")
