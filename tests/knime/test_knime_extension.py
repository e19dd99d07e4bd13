"""The extension folder: what it names is there, and `carezoo knime export` writes one that KNIME can be pointed at."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import carezoo
from carezoo.cli import knime
from carezoo.cli.main import run

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "bridges" / "knime"


@pytest.fixture
def fitting(monkeypatch):
    """Take this environment for one that runs KNIME nodes."""
    monkeypatch.setattr(knime, "NEEDED", {})


def test_the_extension_has_the_version_of_carezoo_and_all_it_names():
    told = yaml.safe_load((EXTENSION / "knime.yml").read_text())
    assert told["version"] == re.match(r"\d+\.\d+\.\d+", carezoo.__version__)[0]
    assert (EXTENSION / told["license_file"]).read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (EXTENSION / told["extension_module"]).with_suffix(".py").is_file()
    pixi = tomllib.loads((EXTENSION / told["pixi_toml_path"]).read_text())
    assert not {"torch", "pytorch"} & set(pixi["dependencies"])
    assert pixi["pypi-dependencies"]["carezoo"]["extras"] == ["evaluate"]


def test_the_demo_table_names_images_that_ship():
    header, first, broken = (EXTENSION / "demo" / "images.csv").read_text().split()
    assert header == "image,reference"
    assert all((ROOT / "zoo" / "demo" / name).is_file() for name in first.split(","))
    assert not (ROOT / "zoo" / "demo" / broken.split(",")[0]).exists()


def test_what_the_environment_needs_is_what_the_extra_brings():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["knime"]
    limits = {re.match(r"[\w-]+", text)[0]: re.search(r"<([\d.]+)", text) for text in extra}
    assert {name: limit and tuple(map(int, (limit[1] + ".0").split(".")[:2])) for name, limit in limits.items()} == (
        knime.NEEDED
    )


def test_export_writes_a_folder_that_knime_can_be_pointed_at(tmp_path, capsys, fitting):
    folder = tmp_path / "with blank" / "carezoo-knime"
    assert run(["knime", "export", str(folder)]) == 0
    (config,) = yaml.safe_load((folder / "config.yml").read_text()).items()
    assert config == ("org.carezoo.carezoo", {"src": str(folder), "python_executable": sys.executable})
    assert f"-Dknime.python.extension.config={folder / 'config.yml'}" in capsys.readouterr().out.splitlines()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {"knime.yml", "src/extension.py", "src/carezoo_knime/restoring.py", "icons/restore.png"} <= names
    assert {"demo/images.csv", "demo/noisy.tif", "demo/clean.tif"} <= names
    assert not [name for name in names if "pycache" in name]
    (folder / "src" / "extension.py").write_text("old")
    assert run(["knime", "export", str(folder)]) == 0
    assert "care_nodes" in (folder / "src" / "extension.py").read_text()
    assert [path.name for path in folder.parent.iterdir()] == ["carezoo-knime"]


def test_the_exported_rows_work_where_the_checkout_is_not_on_the_path(tmp_path, fitting):
    assert run(["knime", "export", str(tmp_path / "nodes")]) == 0
    code = "from carezoo_knime.models import names; print(names())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "nodes" / "src"), "CAREZOO_CACHE": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "denoise-bpae-2d" in told.stdout


def test_export_replaces_nothing_but_an_extension_and_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(knime, "NEEDED", {"numpy": (0, 1)})
    assert run(["knime", "export", str(tmp_path / "new")]) == 7
    assert "numpy below 0.1 is needed in the environment that runs KNIME nodes" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(knime, "NEEDED", {})
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("mine", "file"):
        assert run(["knime", "export", str(tmp_path / name)]) == 2
        assert "exists and is not a KNIME extension" in capsys.readouterr().err
    assert run(["knime", "export", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written" in capsys.readouterr().err
