"""`list`, `pull`, `remove`, `outdated`, `publish`, `site` and `restore --zoo` as a user calls them."""

import json

import packages
import pytest
import servers
import tifffile
from zoos import add

from carezoo.cli.main import run
from carezoo.package.write import write_package


@pytest.fixture
def zoo(tmp_path):
    folder = tmp_path / "zoo"
    folder.mkdir()
    add(folder, version="1.0.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAREZOO_CACHE", str(tmp_path / "cache"))
        patch.delenv("CAREZOO_ZOO", raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield folder


def test_a_model_is_found_pulled_used_updated_and_removed(zoo, tmp_path, capsys):
    image = tmp_path / "cell.tif"
    tifffile.imwrite(image, packages.picture((32, 48)), metadata={"axes": "YX"})
    with servers.serving(zoo) as server:
        assert run(["list", "--zoo", server.url]) == 0
        assert f"{server.url}, not pulled" in capsys.readouterr().out
        assert run(["pull", "test-2d", "--zoo", server.url]) == 0
        told = capsys.readouterr()
        assert told.err == f"model test-2d 1.0.0 ({server.url})\n"
        assert told.out.strip().endswith("test-2d-1.0.0.zip")
        add(zoo, version="1.0.1", description="Better words.")
        assert run(["outdated"]) == 0
        assert f"test-2d 1.0.0 -> 1.0.1   carezoo pull test-2d --zoo {server.url}" in capsys.readouterr().out
        assert run(["restore", str(image), "--model", "test-2d", "--zoo", server.url, "-o", str(tmp_path / "new")]) == 0
        assert "model test-2d 1.0.1" in capsys.readouterr().err
        assert run(["outdated"]) == 0
        assert "every model here is the newest" in capsys.readouterr().err
    assert run(["restore", str(image), "--model", "test-2d@1.0.0", "-o", str(tmp_path / "old")]) == 0
    with tifffile.TiffFile(tmp_path / "old" / "cell_restored.tif") as file:
        assert "1.0.0" in str(file.imagej_metadata), "what was resolved is recorded in the output"
    capsys.readouterr()
    assert run(["info", "test-2d"]) == 0
    assert "Better words." in capsys.readouterr().out
    assert run(["doctor", "--json"]) in {0, 1}
    assert "2 pulled model(s)" in capsys.readouterr().out
    assert run(["remove", "test-2d"]) == 0
    assert capsys.readouterr().out.count("removed test-2d") == 2
    assert run(["restore", str(image), "--model", "test-2d"]) == 4
    assert "no model 'test-2d' is known here" in capsys.readouterr().err


def test_list_as_json_and_filters(zoo, capsys):
    assert run(["list", "--zoo", str(zoo), "--dims", "2", "--task", "denoise", "--search", "random", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["axes"], row["is_here"], row["zoo"]) == ("test-2d", "YX", True, str(zoo))
    assert run(["list", "--zoo", str(zoo), "--search", "elephants"]) == 0
    assert "no model fits" in capsys.readouterr().err


def test_publish_and_site(tmp_path, capsys):
    package = str(write_package(packages.denoise_2d(), tmp_path / "run" / "test-2d-1.0.0.zip"))
    zoo, site = str(tmp_path / "zoo"), tmp_path / "site"
    assert run(["publish", package]) == 2
    assert "where to?" in capsys.readouterr().err
    assert run(["publish", package, "--zoo", zoo, "--zips-only", "--dry-run"]) == 0
    assert "would publish test-2d@1.0.0 (the first version)" in capsys.readouterr().out
    assert run(["publish", package, "--zoo", zoo, "--zips-only"]) == 0
    assert run(["publish", package, "--zoo", zoo]) == 4
    assert "published already" in capsys.readouterr().err
    assert run(["publish", "--zoo", zoo]) == 0
    assert "1 version(s) of 1 model(s)" in capsys.readouterr().out
    assert run(["site", "--zoo", zoo, "-o", str(site)]) == 0
    assert (site / "index.html").is_file()
    assert run(["publish", package, "--bioimageio-zip", str(tmp_path / "upload.zip")]) == 0
    assert "still missing: covers" in capsys.readouterr().err
    assert run(["site", "--zoo", str(tmp_path / "run"), "-o", str(site)]) == 4
