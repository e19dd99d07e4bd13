"""A folder means the same images to every command, recipe and bridge: all of them ask carezoo/files/listing.py."""

import ast
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import packages
import pytest

from carezoo import files
from carezoo.cli.main import run
from carezoo.errors import InputError
from carezoo.evaluate import pairs as pairs_
from carezoo.image import Image
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.pairs import find
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.runtime.batch import Job
from carezoo.train.sections import Data

ROOT = Path(__file__).parents[2]
KNIME = ROOT / "bridges" / "knime" / "src"
MIXED = ("a.tif", "b.czi", "c.nd2", "e.tiff.bak", "f.lif", "._a.tif")
IMAGES = ["a.tif", "b.czi", "c.nd2", "f.lif"]

LISTS = {"iterdir", "glob", "rglob", "walk", "scandir", "listdir"}
NO_IMAGES = {
    "bridges/fiji/carezoo_fiji/install.py": "jars and folders of Fiji",
    "bridges/fiji/carezoo_fiji/launch.py": "jars of Fiji",
    "carezoo/files/atomic.py": "size of a folder",
    "carezoo/package/files.py": "files of an unpacked package",
    "carezoo/registry/cache.py": "packages",
    "carezoo/registry/folder.py": "packages of a zoo",
    "carezoo/registry/site/pages.py": "assets of the pages",
    "carezoo/simulate/files.py": "whether a folder is empty",
    "carezoo/train/convert/folder.py": "a model folder of CSBDeep",
    "carezoo/train/history.py": "pictures of a training",
}
"""Modules that list a folder, and what they look for there."""


def lists_folders(text):
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Attribute) and call.func.attr in LISTS for call in calls)


def test_nothing_else_looks_for_images_in_folders():
    modules = [path for room in ("carezoo", "bridges") for path in (ROOT / room).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in modules if lists_folders(path.read_text(encoding="utf8"))}
    assert found == {"carezoo/files/listing.py", *NO_IMAGES}


def test_no_macro_looks_for_images_in_folders():
    macros = [path for kind in ("ijm", "groovy") for path in (ROOT / "bridges").rglob(f"*.{kind}")]
    assert len(macros) > 3
    found = [path.name for path in macros if ".tif" in path.read_text(encoding="utf8").lower().replace("image.tif", "")]
    assert found == []


@pytest.mark.parametrize("line", ["paths = folder.glob('*.tif')", "os.listdir(folder)", "next(Path(x).iterdir())"])
def test_the_probe_sees_listings(line):
    assert lists_folders(line)


@pytest.fixture
def low(tmp_path, monkeypatch):
    """Return a folder of many kinds beside one of targets; every reader is installed, and opens anything."""
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
        for name in MIXED:
            (tmp_path / folder / name).write_bytes(b"")
    monkeypatch.setattr("carezoo.files.formats.importlib.util.find_spec", lambda _: object())
    for module in (pairs_, find):
        monkeypatch.setattr(module, "open_image", lambda *_, **__: Image(np.zeros((24, 24), np.uint16), "YX"))
    return tmp_path / "low"


@pytest.fixture
def model(tmp_path):
    return write_package(packages.denoise_2d(), tmp_path / "model.zip")


def test_restore(low, model, capsys):
    run(["restore", str(low), "-m", str(model), "-o", str(low.parent / "out"), "--json"])
    assert [Path(outcome["source"]).name for outcome in json.loads(capsys.readouterr().out)] == IMAGES


def test_evaluate(low, model):
    manifest = open_package(model).manifest
    pairs = pairs_.find_pairs(pairs_.conditions(low, low.parent / "high"), manifest)
    assert [(pair.source_path.name, pair.target_path.name) for pair in pairs] == [(name, name) for name in IMAGES]


def test_recipes(low):
    data = Data(sets=(FileSet(source=("low",), target=("high",)),), folder=str(low.parent))
    pairs = find.find_pairs(data, PairAxes("YX"))
    assert [(pair.source_path.name, pair.target_path.name) for pair in pairs] == [(name, name) for name in IMAGES]


def test_fiji(low, monkeypatch):
    from carezoo_fiji import folders

    answers = {
        "input_folder": str(low),
        "output_folder": str(low.parent / "out"),
        "model": "x",
        "scene": "",
        "overwrite": False,
    }
    for name in ("model_fields", "settings_fields"):
        monkeypatch.setattr(folders, name, lambda *_: [])
    monkeypatch.setattr(folders, "from_dialog", lambda _: None)
    monkeypatch.setattr(folders, "reference", lambda _: "x")
    session = SimpleNamespace(
        HELP="", remembered={}, models=SimpleNamespace(get=lambda _: SimpleNamespace(package=None))
    )
    call = SimpleNamespace(ask=lambda *_, **__: answers)
    found, _ = folders.ask(session, call)
    assert [path.name for path in found.images] == IMAGES


def test_knime(low, model, monkeypatch):
    """A row is one image: a row that names a folder is answered with the images there."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(KNIME)])
    from carezoo_knime.restoring import restore_rows

    (row,) = restore_rows([str(low)], Job(models={None: open_package(model)}))
    assert f"is a folder; expected an image file, such as {low / 'a.tif'}" in row.error
    (low / "a.tif").unlink()
    (row,) = restore_rows([str(low)], Job(models={None: open_package(model)}))
    assert row.error.endswith(f"such as {low / 'b.czi'}")


def test_python(low):
    with pytest.raises(InputError, match=r"is a folder; expected an image file, such as .*a\.tif"):
        files.open_image(low)
