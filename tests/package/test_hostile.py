"""Every package that means harm, or is damaged, ends in an error that names the cause; nothing is written anywhere."""

import copy
import json
import zipfile
from pathlib import Path

import hostile
import numpy as np
import packages
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carezoo.errors import IntegrityError, ManifestError, PackageError, UnsupportedError
from carezoo.package import graph, info, portable
from carezoo.package.read import Package, open_package
from carezoo.package.write import write_package


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_package(packages.denoise_2d(), tmp_path_factory.mktemp("good") / "good.zip")


@pytest.mark.parametrize(
    ("build", "cause"),
    [
        (hostile.bomb, "zip bomb"),
        (hostile.understated_bomb, "weights.onnx is damaged or not what it claims"),
        (hostile.overstated_size, "weights.onnx"),
        (hostile.overlapping, "share bytes"),
        (hostile.many_entries, "at most 1000"),
        (hostile.linking, "secrets is a link"),
        (hostile.device, "zero is neither a file nor a folder"),
        (hostile.encrypted, r"weights\.onnx is encrypted$"),
        (hostile.duplicate, "two entries are called rdf.yaml"),
        (hostile.strange_compression, "compressed by method 14"),
    ],
)
def test_archives_built_to_harm_are_refused(good, tmp_path, build, cause):
    package = build(good, tmp_path / "bad.zip")
    with pytest.raises(IntegrityError, match=cause):
        open_package(package)
    assert list(tmp_path.iterdir()) == [package]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("../outside.txt", "leads out of the package"),
        ("inside/../../outside.txt", "leads out of the package"),
        ("/etc/outside.txt", "is absolute"),
        ("C:/outside.txt", "is absolute"),
        ("..\\outside.txt", "has a backslash"),
        ("bell\a.txt", "control characters"),
    ],
)
def test_paths_that_leave_the_package_are_refused(good, tmp_path, name, cause):
    package = hostile.escaping(good, tmp_path / "bad.zip", name)
    with pytest.raises(IntegrityError, match=cause):
        open_package(package)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "sub/../../x.onnx"])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path, name):
    folder = packages.foreign_04_fixed(tmp_path / "package")
    text = (folder / "rdf.yaml").read_text()
    (folder / "rdf.yaml").write_text(text.replace("source: weights.onnx", f"source: {name}"))
    with pytest.raises(IntegrityError, match=r"leads out of the package|is absolute"):
        open_package(folder)


@pytest.mark.parametrize("which", ["weights.onnx", "test_input.npy", "rdf.yaml"])
def test_links_in_folders_are_refused(good, tmp_path, which):
    folder = hostile.unpack(good, tmp_path / "package")
    elsewhere = tmp_path / "elsewhere"
    (folder / which).rename(elsewhere)
    (folder / which).symlink_to(elsewhere)
    with pytest.raises(IntegrityError, match=f"{which} is a link"):
        open_package(folder)


def test_links_to_folders_are_refused(good, tmp_path):
    folder = hostile.unpack(good, tmp_path / "package")
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(IntegrityError, match="more is a link"):
        open_package(folder)


@pytest.mark.parametrize("which", ["weights.onnx", "README.md", "test_output.npy"])
def test_one_changed_bit_is_found(good, tmp_path, which):
    folder = hostile.unpack(good, tmp_path / "package")
    content = bytearray((folder / which).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / which).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{which} is not the file the manifest describes"):
        open_package(folder)


def test_a_file_changed_after_opening_is_found(good, tmp_path):
    package = open_package(hostile.unpack(good, tmp_path / "package"))
    (tmp_path / "package" / "weights.onnx").write_bytes(b"something else")
    with pytest.raises(IntegrityError, match=r"weights\.onnx is not the file"):
        package.read_weights()


@pytest.mark.parametrize("which", ["weights.onnx", "test_input.npy", "README.md"])
def test_missing_files_are_found(good, tmp_path, which):
    folder = hostile.unpack(good, tmp_path / "package")
    (folder / which).unlink()
    with pytest.raises(IntegrityError, match=f"{which} is missing"):
        open_package(folder)


def test_files_without_a_hash_are_found_in_our_packages(good, tmp_path):
    folder = hostile.unpack(good, tmp_path / "package")
    (folder / "extra.py").write_text("print('hello')")
    with pytest.raises(IntegrityError, match=r"extra\.py has no sha256"):
        open_package(folder)


def test_a_second_manifest_that_other_readers_may_take_is_found_in_our_packages(good, tmp_path):
    package = hostile.write(tmp_path / "bad.zip", {**hostile.entries(good), "bioimageio.yaml": b"type: model"})
    with pytest.raises(IntegrityError, match=r"bioimageio\.yaml has no sha256"):
        open_package(package)


def test_what_operating_systems_leave_behind_is_no_error(good, tmp_path):
    folder = hostile.unpack(good, tmp_path / "package")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"")
    assert open_package(folder).names() == open_package(good).names()


def test_a_test_tensor_without_a_hash_is_found(good, tmp_path):
    def drop(rdf):
        del rdf["config"]["carezoo"]["files"]["test_input.npy"]
        del rdf["inputs"][0]["test_tensor"]["sha256"]

    package = hostile.with_manifest(good, tmp_path / "bad.zip", drop)
    with pytest.raises(IntegrityError, match=r"test_input\.npy has no sha256"):
        open_package(package)


def test_a_test_tensor_that_is_neither_there_nor_listed_is_found(good, tmp_path):
    def drop(rdf):
        del rdf["config"]["carezoo"]["files"]["test_input.npy"]
        rdf["inputs"][0]["test_tensor"] = {"source": "elsewhere.npy"}

    files = hostile.entries(hostile.with_manifest(good, tmp_path / "bad.zip", drop))
    del files["test_input.npy"]
    package = hostile.write(tmp_path / "bad.zip", files)
    with pytest.raises(IntegrityError, match=r"elsewhere\.npy has no sha256"):
        open_package(package)


def test_two_different_hashes_for_one_file_are_found(good, tmp_path):
    def change(rdf):
        rdf["weights"]["onnx"]["sha256"] = "0" * 64

    package = hostile.with_manifest(good, tmp_path / "bad.zip", change)
    with pytest.raises(ManifestError, match=r"another sha256 for weights\.onnx"):
        open_package(package)


def test_pickled_arrays_are_never_loaded(tmp_path):
    folder = packages.foreign_05(tmp_path / "package")
    (folder / "test_input.npy").write_bytes(hostile.pickled_array())
    with pytest.raises(IntegrityError, match=r"pickled objects"):
        open_package(folder).load_array("test_input.npy")
    assert not Path("/tmp/carezoo-was-here").exists()


@pytest.mark.parametrize(
    "content",
    [
        hostile.lying_array(),
        hostile.lying_array("(-4,)"),
        hostile.lying_array("(2, 3)"),
        b"\x93NUMPY\x01\x00",
        b"",
        b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
        packages.npy(np.zeros(3, "S4")),
        packages.npy(np.zeros(3, "M8[s]")),
    ],
)
def test_arrays_that_are_not_what_they_claim_are_refused(tmp_path, content):
    folder = packages.foreign_05(tmp_path / "package")
    (folder / "test_input.npy").write_bytes(content)
    with pytest.raises(PackageError, match=r"test_input\.npy"):
        open_package(folder).load_array("test_input.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">i4", "float32", "float64", "bool"])
def test_honest_arrays_are_loaded_as_numpy_does(tmp_path, order, dtype):
    folder = packages.foreign_05(tmp_path / "package")
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (2, 3, 4)), dtype, order=order)
    np.save(folder / "test_input.npy", array)
    loaded = open_package(folder).load_array("test_input.npy")
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (hostile.billion_laughs(), "multiply"),
        (b"a: &a [*a]", "refers to itself"),
        (b"[" * 100, "nested"),
        (b"x: " + b"y" * (5 << 20), "bytes"),
        (b"- a\n- b", "expected a mapping"),
        (b"", "expected a mapping"),
        (b"a: [1, 2", "not readable YAML"),
        (b"\xff\xfe\x00", "not readable YAML"),
        (b"a: !!python/object/apply:os.system ['true']", "not readable YAML"),
        (b"{[1, 2]: 3}", "not readable YAML"),
        (b"a: 2024-99-99", "not readable YAML"),
        (b"1: 2", "expected a mapping"),
        (b"format_version: 0x" + b"f" * 5000, "expected text, found a number with thousands of digits"),
    ],
)
def test_manifests_that_attack_the_reader_are_refused(tmp_path, content, cause):
    (tmp_path / "rdf.yaml").write_bytes(content)
    with pytest.raises(PackageError, match=cause):
        open_package(tmp_path)


def test_code_from_a_package_is_refused(tmp_path):
    folder = packages.foreign_05(tmp_path / "package")
    rdf = (folder / "rdf.yaml").read_text()
    step = "  postprocessing:\n  - id: custom\n    callable: f\n    source: code.py\n    kwargs: {}\n"
    (folder / "rdf.yaml").write_text(rdf.replace("weights:\n", step + "weights:\n", 1))
    (folder / "code.py").write_text("raise SystemExit")
    with pytest.raises(UnsupportedError, match="never runs code from a package"):
        open_package(folder)


def test_external_data_outside_the_package_is_refused(tmp_path):
    folder = packages.foreign_05_data(tmp_path / "package")
    weights, _ = packages.external(packages.denoise_2d().files["weights.onnx"], "../../../etc/passwd")
    (folder / "weights.onnx").write_bytes(weights)
    text = (folder / "rdf.yaml").read_text()
    listed = next(line for line in text.splitlines() if "sha256" in line)
    (folder / "rdf.yaml").write_text(text.replace(listed, f"    sha256: {packages.sha256(weights)}"))
    package = open_package(folder)
    with pytest.raises(ManifestError, match=r"keeps numbers in \.\./\.\./\.\./etc/passwd"):
        package.read_external_data()


@pytest.mark.parametrize("name", ["nothing.zip", "empty.zip", "text.zip", "photo.zip"])
def test_what_is_no_package_says_so(tmp_path, name):
    if name == "empty.zip":
        (tmp_path / name).write_bytes(b"")
    elif name == "text.zip":
        (tmp_path / name).write_text("not a zip at all")
    elif name == "photo.zip":
        hostile.write(tmp_path / name, {"photo.tif": b"II*\0"})
    with pytest.raises(PackageError, match=r"no such file|not a readable zip|not a model package"):
        open_package(tmp_path / name)


def _opens_or_says_why(path):
    """Return what `open_package` made of a path; anything but a package or a PackageError is a failure."""
    try:
        package = open_package(path)
    except PackageError as error:
        return str(error)
    assert isinstance(package, Package)
    facts = graph.read_facts(package.read_weights())
    assert isinstance(portable.hints(package.manifest, facts, 1), tuple)
    return info.summary(package)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2000), name=st.sampled_from(["a.zip", "rdf.yaml"]))
def test_any_bytes_end_in_a_package_or_a_package_error(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert _opens_or_says_why(tmp_path / name)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_good_zip_ends_in_a_package_or_a_package_error(good, tmp_path, data):
    content = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        directory = archive.start_dir
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory at the end and the manifest at the start are small but decide most: aim there too.
        low, high = data.draw(st.sampled_from([(0, len(content) - 1), (directory, len(content) - 1), (0, 4000)]))
        content[data.draw(st.integers(low, min(high, len(content) - 1)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content), data.draw(st.integers(0, len(content)))]))
    (tmp_path / "damaged.zip").write_bytes(content[:cut])
    assert _opens_or_says_why(tmp_path / "damaged.zip")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["y", "c", "raw", "source", "1e-3", "../x", "5/2", 10**30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Good packages as folders, with their manifests."""
    root = tmp_path_factory.mktemp("folders")
    made = [write_package(packages.ensemble_2d(), root / "own")]
    made += [packages.FOREIGN[name](root / name) for name in ("foreign_04", "foreign_05", "foreign_05_two")]
    return [(folder, yaml.load((folder / "rdf.yaml").read_bytes(), yaml.CSafeLoader)) for folder in made]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_in_a_manifest_ends_in_a_package_or_a_package_error(folders, data):
    folder, manifest = data.draw(st.sampled_from(folders))
    manifest = copy.deepcopy(manifest)
    place, parent, key = manifest, None, None
    while isinstance(place, dict | list) and place and (parent is None or data.draw(st.integers(0, 5))):
        parent = place
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        place = place[key]
    parent[key] = data.draw(VALUES)
    (folder / "rdf.yaml").write_text(json.dumps(manifest))  # JSON is YAML, and quicker to write
    assert _opens_or_says_why(folder)
