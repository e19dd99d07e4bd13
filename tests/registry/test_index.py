"""index.json: a round trip, the same bytes every time, and nothing a stranger writes is believed."""

import json

import packages
import pytest
from zoos import add

from carezoo.errors import UnknownModelError, ZooError
from carezoo.registry import folder as folder_
from carezoo.registry import index
from carezoo.registry.zoo import open_embedded


def test_round_trip_keeps_every_field(folder):
    content = (folder / "index.json").read_bytes()
    parsed = index.parse(content, "index.json")
    assert index.render(parsed) == content
    assert [each.reference for each in parsed.versions] == ["test-2d@1.0.0", "test-2d@1.1.0", "test-3d@1.0.0"]
    newest = {each.model: each for each in parsed.newest()}
    assert newest["test-2d"].version == "1.1.0"
    assert newest["test-2d"].description == "Better than before."
    assert (newest["test-3d"].task, newest["test-3d"].axes, newest["test-3d"].n_dims) == ("denoise", "ZYX", 3)


def test_it_does_not_depend_on_the_order_of_publishing(tmp_path):
    for name, order in (("a", ("1.0.0", "1.10.0", "1.9.0")), ("b", ("1.9.0", "1.0.0", "1.10.0"))):
        (tmp_path / name / "zoo").mkdir(parents=True)
        for version in order:
            add(tmp_path / name / "zoo", version=version)
    first, second = ((tmp_path / name / "zoo" / "index.json").read_bytes() for name in "ab")
    assert first == second
    assert [each.version for each in index.parse(first, "index").versions] == ["1.0.0", "1.9.0", "1.10.0"]


def test_it_has_the_form_of_bioimage_io(folder):
    content = json.loads((folder / "index.json").read_bytes())
    assert (content["total"], content["count_per_type"]) == (2, {"model": 2})
    item = content["items"][0]
    assert (item["id"], item["type"]) == ("test-2d", "model")
    assert {"version", "comment", "created_at", "source", "sha256"} <= set(item["versions"][0])


def _set(path, value):
    def change(content):
        target = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


VERSION = ("items", 0, "versions", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set((*VERSION, "zip", "url"), "../../etc/passwd"), "expected a path below the index"),
        (_set((*VERSION, "zip", "url"), "/etc/passwd"), "expected a path below the index"),
        (_set((*VERSION, "zip", "url"), "file:///etc/passwd"), "expected a path below the index"),
        (_set((*VERSION, "zip", "url"), "a\\..\\b.zip"), "expected a path below the index"),
        (_set((*VERSION, "zip", "sha256"), "abc"), "sha256"),
        (_set((*VERSION, "zip", "size"), -1), "at least 1"),
        (_set((*VERSION, "zip", "size"), "many"), "whole number"),
        (_set((*VERSION, "version"), "1.0"), "three numbers"),
        (_set((*VERSION, "version"), "1.1.0"), "listed twice"),
        (_set((*VERSION, "scores"), {"psnr_db": "NaN"}), "finite number"),
        (_set(("items", 0, "id"), "../evil"), "name of a model"),
        (_set(("items", 0, "id"), "a..b"), "name of a model"),
        (_set(("items",), {"a": 1}), "expected a list"),
        (_set(("carezoo_zoo",), 2), "pip install -U carezoo"),
        (_set(("carezoo_zoo",), None), "carezoo_zoo"),
    ],
)
def test_nonsense_is_refused_with_the_place(folder, change, message):
    content = json.loads((folder / "index.json").read_bytes())
    change(content)
    with pytest.raises(ZooError, match=message):
        index.parse(json.dumps(content).encode(), "index.json")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"carezoo_zoo": 1}'])
def test_what_is_no_index_is_called_so(content):
    with pytest.raises(ZooError, match="index"):
        index.parse(content, "index.json")


def test_unknown_keys_of_later_versions_are_let_pass(folder):
    content = json.loads((folder / "index.json").read_bytes())
    content["items"][0]["versions"][0]["later"] = {"anything": 1}
    assert len(index.parse(json.dumps(content).encode(), "index.json").versions) == 3


def test_the_nearest_names_are_offered():
    error = index.make_unknown_error("denoise-nuclei", ["denoise-nuclei-2d", "project-wing"], "is known here")
    assert isinstance(error, UnknownModelError)
    assert "Did you mean denoise-nuclei-2d?" in str(error)


def test_the_shipped_index_is_what_the_packages_say():
    """`carezoo publish --zoo zoo` writes it; nobody edits it."""
    zoo = open_embedded()
    read = zoo.index()
    assert read.layout == "zips"
    assert folder_.rebuild_index(zoo.folder, read) == read
    assert (zoo.folder / "index.json").read_bytes() == index.render(read)


def test_the_shipped_packages_stay_below_80_megabytes():
    assert sum(each.zip.size for each in open_embedded().index().versions) < 80_000_000


def test_only_names_and_versions_that_are_file_names_are_listed(tmp_path):
    for changes in ({"id": "group/model"}, {"version": "1.0"}, {"version": "1.0.0-rc1"}):
        with pytest.raises(ZooError, match="a zoo lists"):
            add(tmp_path, **changes)
    assert packages.denoise_2d().id == "test-2d"
