"""One meaning of a folder, whoever is asked: names and kinds of images, results among them, pairs."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from carezoo import files
from carezoo.errors import InputError, MissingExtraError
from carezoo.files import formats
from carezoo.files.listing import collect_images, images_in, is_image, match, stem
from carezoo.image import Image

MIXED = ("a.tif", "b.czi", "c.nd2", "e.tiff.bak", "f.lif")


def fill(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def save(path, notes=None):
    files.write_image(path, Image(np.zeros((4, 5), np.uint16), "YX"), notes)


def names(paths):
    return [path.name for path in paths]


@pytest.fixture
def readers(monkeypatch):
    """Return what says which bioio readers are installed: none, all or some."""

    def install(*packages):
        installed = {module: package for each in formats.FORMATS.values() for module, package in each.packages.items()}
        present = {module for module, package in installed.items() if package in packages or packages == ("all",)}
        monkeypatch.setattr(
            "carezoo.files.formats.importlib.util.find_spec", lambda module: module if module in present else None
        )

    return install


def test_a_folder_means_the_images_whose_reader_is_installed(tmp_path, readers, caplog):
    fill(tmp_path, *MIXED)
    readers("all")
    assert names(images_in(tmp_path)) == ["a.tif", "b.czi", "c.nd2", "f.lif"]
    assert caplog.messages == []
    readers("bioio", "bioio-czi")
    assert names(images_in(tmp_path)) == ["a.tif", "b.czi"]
    (said,) = caplog.messages
    assert "2 image(s)" in said
    assert '(c.nd2, f.lif) and is not installed. Run: pip install "carezoo[formats]"' in said
    assert caplog.records[0].levelno == logging.WARNING


def test_a_reader_alone_reads_nothing(tmp_path, readers):
    readers("bioio-czi")  # without bioio
    with pytest.raises(MissingExtraError, match=r"b\.czi.*carezoo\[formats\]"):
        images_in(fill(tmp_path, "b.czi", "notes.txt"))


def test_a_pattern_narrows_and_silences(tmp_path, readers, caplog):
    fill(tmp_path, *MIXED, "B.TIFF")
    readers()
    assert names(images_in(tmp_path, "*.tif*")) == ["B.TIFF", "a.tif"]
    assert caplog.messages == []
    with pytest.raises(InputError, match=r"holds no image .* that matches 'x\*': there are 6 other entries, such as"):
        images_in(tmp_path, "x*")


def test_what_is_no_image_of_a_folder(tmp_path, readers):
    readers("all")
    fill(tmp_path, "A.TIF", "b.Tiff", "._A.tif", ".carezoo-half.tif", "c.png", "d.tif.txt", "tif", "file.zarr")
    fill(tmp_path / "subfolder", "e.tif")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "g.ome.zarr").mkdir()
    (tmp_path / ".h.zarr").mkdir()
    assert names(images_in(tmp_path)) == ["A.TIF", "b.Tiff", "g.ome.zarr"]
    assert images_in(tmp_path / "g.ome.zarr") == [tmp_path / "g.ome.zarr"]
    assert images_in(tmp_path / "c.png") == [tmp_path / "c.png"]  # what is named is taken
    assert not is_image(tmp_path / "nowhere.tif")


def test_a_path_that_does_not_exist_names_what_is_near(tmp_path):
    fill(tmp_path / "lows", "a.tif")
    with pytest.raises(InputError, match=r"low does not exist\. The folder .* has lows"):
        images_in(tmp_path / "low")


def test_results_of_carezoo_are_no_images_of_a_folder(tmp_path, caplog):
    caplog.set_level(logging.INFO, "carezoo")
    save(tmp_path / "a.tif")
    save(tmp_path / "other.tif", {"other": "program"})
    for name in ("a_restored.tif", "renamed.tif"):
        save(tmp_path / name, {"carezoo": {"run": {}, "input": {"name": "a.tif"}}})
    assert names(images_in(tmp_path)) == ["a.tif", "other.tif"]
    assert caplog.messages == [f"2 result(s) of carezoo in {tmp_path} are left out"]
    named = [tmp_path / "a.tif", tmp_path / "a_restored.tif", tmp_path / "a.tif"]
    assert collect_images(named) == [tmp_path / "a.tif"]
    assert collect_images(named[1:2]) == [tmp_path / "a_restored.tif"]
    assert collect_images([tmp_path / "missing.tif", tmp_path]) == [
        tmp_path / "missing.tif", tmp_path / "a.tif", tmp_path / "other.tif",
    ]  # fmt: skip
    (tmp_path / "a.tif").unlink(), (tmp_path / "other.tif").unlink()
    with pytest.raises(InputError, match=r"holds 2 result\(s\) of carezoo and no other image; name the files"):
        images_in(tmp_path)


@pytest.mark.parametrize("name", ["f0.tif", "f0.tiff", "f0.ome.tif", "f0.OME.TIFF", "f0.czi", "f0.ome.zarr", "f0"])
def test_the_name_before_the_suffix(tmp_path, name):
    assert stem(tmp_path / name) == "f0"


def test_a_name_may_have_dots(tmp_path):
    assert stem(tmp_path / "2024.01.02_f0.tif") == "2024.01.02_f0"


def test_pairs_have_one_name_before_the_suffix(tmp_path, readers):
    readers("all")
    low = fill(tmp_path / "low", "f0.tif", "f1.tif", "f2.ome.tif")
    lower = fill(tmp_path / "lower", "f0.czi")
    high = fill(tmp_path / "high", "f0.tiff", "f1.czi", "f2.TIF", "only_here.tif", "only_here.czi")
    found = [(source.parent.name, source.name, target.name) for source, target in match([low, lower], [high])]
    assert found == [
        ("low", "f0.tif", "f0.tiff"),
        ("low", "f1.tif", "f1.czi"),
        ("low", "f2.ome.tif", "f2.TIF"),
        ("lower", "f0.czi", "f0.tiff"),
    ]
    assert match([low / "f0.tif"], [high / "f1.czi"]) == [(low / "f0.tif", high / "f1.czi")]
    assert match([low / "f0.tif"], [high]) == [(low / "f0.tif", high / "f0.tiff")]


@pytest.mark.parametrize("side", ["low", "high"])
def test_two_files_of_one_name_are_refused_with_both(tmp_path, readers, side):
    readers("all")
    for folder in ("low", "high"):
        fill(tmp_path / folder, "a.tif")
    fill(tmp_path / side, "a.czi")
    with pytest.raises(InputError, match=rf"are called a: .*{side}/a\.czi and .*{side}/a\.tif\. The name before"):
        match([tmp_path / "low"], [tmp_path / "high"])
    assert len(match([tmp_path / "low"], [tmp_path / "high"], "*.tif")) == 1


def test_a_source_without_target_is_named_with_the_nearest(tmp_path):
    low, high = fill(tmp_path / "low", "a.tif", "image_1.tif"), fill(tmp_path / "high", "a.tif", "image_2.tif")
    with pytest.raises(InputError, match=r"1 of 2 .* in .*high: image_1\.tif; the nearest name there is image_2\.tif"):
        match([low], [high])
