"""Commands written into an ImageJ that is started by itself: what is written, what is removed, and that they work."""

import subprocess
import sys
from pathlib import Path

import display
import numpy as np
import packages
import pytest

import carezoo
from carezoo.cli.main import run
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo_fiji import install

BATCH = """
open("{image}");
run("CARE Restore...", "model=denoise-bpae-2d package_file=[{model}] show_uncertainty");
print("VERDICT " + call("java.lang.System.getProperty", "carezoo.verdict"));
for (i = 1; i <= nImages; i++) {{ selectImage(i); print("TITLE " + getTitle()); }}
selectImage("cells_restored"); saveAs("Tiff", "{folder}/mean.tif");
selectImage("cells.tif"); saveAs("Tiff", "{folder}/source.tif");
run("Close All");
run("CARE Restore...", "model=denoise-bpae-2d");
print("VERDICT " + call("java.lang.System.getProperty", "carezoo.verdict"));
"""


@pytest.fixture
def imagej(tmp_path):
    folder = tmp_path / "ImageJ"
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "Mine_.ijm").write_text("// mine")
    return folder


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_uninstall_removes_what_install_wrote_and_nothing_else(imagej, capsys):
    before = files(imagej)
    assert run(["fiji", "install", "--imagej", str(imagej)]) == 0
    place = imagej / "plugins" / "CAREzoo"
    assert (place / "CARE_Restore....ijm").is_file()
    assert "@" not in (place / "CARE_Restore....ijm").read_text().replace("@VERSION", "")
    assert run(["fiji", "install", "--imagej", str(imagej)]) == 0  # again: replaced
    assert run(["fiji", "status", "--imagej", str(imagej)]) == 0
    assert "runs carezoo" in capsys.readouterr().out
    assert run(["fiji", "uninstall", "--imagej", str(imagej)]) == 0
    assert files(imagej) == before
    assert run(["fiji", "uninstall", "--imagej", str(imagej)]) == 2
    assert "no commands of carezoo are installed" in capsys.readouterr().err


def test_what_the_user_changed_or_added_stays(imagej):
    install.install(imagej, is_fiji=False, python=Path(sys.executable))
    place = imagej / "plugins" / "CAREzoo"
    (place / "CARE_Restore....ijm").write_text("// my own version")
    (place / "Other_.ijm").write_text("// other")
    assert [f.is_problem for f in install.status(imagej)] == [False, True, False]
    install.uninstall(imagej)
    assert sorted(path.name for path in place.iterdir()) == ["CARE_Restore....ijm", "Other_.ijm"]
    with pytest.raises(carezoo.CarezooError, match="was not written by carezoo"):
        install.install(imagej, is_fiji=False, python=Path(sys.executable))


def test_a_fiji_gets_scripts_for_its_worker_or_macros(tmp_path):
    fiji = tmp_path / "Fiji"
    (fiji / "jars").mkdir(parents=True)
    (fiji / "plugins").mkdir()
    install.install(fiji, is_fiji=True, python=Path(sys.executable))
    assert (fiji / "plugins" / "CAREzoo" / "CARE_Restore....ijm").is_file()
    (fiji / "jars" / "appose-0.10.0.jar").touch()
    install.install(fiji, is_fiji=True, python=Path(sys.executable))
    script = (fiji / "scripts" / "Plugins" / "CAREzoo" / "CARE_Restore....groovy").read_text()
    assert not (fiji / "plugins" / "CAREzoo").exists()
    parameters = [line for line in script.splitlines() if line.startswith("#@")]
    assert parameters
    assert all("persist=false" in line and "value=" in line for line in parameters)
    install.uninstall(fiji)
    assert files(fiji) == ["jars", "jars/appose-0.10.0.jar", "plugins"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["install"], "expected one of --fiji DIR"),
        (["install", "--fiji", "nowhere"], "is not the folder of Fiji: it holds no folder jars"),
        (["install", "--imagej", "nowhere"], "is not the folder of ImageJ"),
        (["start", "--headless"], "say what to do with --run MACRO.ijm"),
        (["start", "--headless", "--run", "no.ijm"], "there is no such file"),
    ],
)
def test_mistakes_are_told(arguments, told, capsys):
    assert run(["fiji", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_python_that_moved_is_told(imagej):
    install.install(imagej, is_fiji=False, python=imagej / "gone" / "python")
    assert "is gone. Run carezoo fiji install again" in install.status(imagej)[-1].text


def test_answers_to_macros_end_with_a_verdict(capsys):
    from carezoo_fiji import macros

    assert macros.answer(["models", "", ""]) == 0
    assert "denoise-bpae-2d" in capsys.readouterr().out.splitlines()
    assert macros.answer(["info", "denoise-bpae-3d"]) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("CAREZOO ERROR UnknownModelError: no model")
    assert macros.answer(["dance"]) == 2


@pytest.mark.skipif(bool(display.missing()), reason=display.missing())
def test_the_macro_restores_what_python_restores(imagej, tmp_path):
    model = write_package(packages.ensemble_2d(), tmp_path / "ensemble.zip")
    noisy = packages.picture((3, 40, 52))
    carezoo.write_image(tmp_path / "cells.tif", Image(noisy, "ZYX", {"Z": 0.3, "Y": 0.1, "X": 0.1}))
    install.install(imagej, is_fiji=False, python=Path(sys.executable))
    macro = tmp_path / "batch.ijm"
    macro.write_text(BATCH.format(image=tmp_path / "cells.tif", model=model, folder=tmp_path))
    java = ["java", "-cp", str(display.JAR), "ij.ImageJ", "-ijpath", str(imagej), "-batch", str(macro)]
    with display.screen() as environment:
        done = subprocess.run(java, env=environment, capture_output=True, text=True, timeout=200, check=False)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("VERDICT")] == [
        "VERDICT OK restored cells.tif with " + carezoo.load(model).manifest.reference,
        "VERDICT ERROR InputError: there is no image open. Open the image to restore and click on it",
    ]
    titles = [line.removeprefix("TITLE ") for line in lines if line.startswith("TITLE")]
    assert sorted(titles) == ["cells.tif", "cells_disagreement", "cells_restored", "cells_scale"]
    expected = carezoo.load(model).restore(noisy, "ZYX").mean
    found = carezoo.open_image(tmp_path / "mean.tif")
    np.testing.assert_array_equal(found.array(), expected)
    assert found.pixel_size_um["Z"] == pytest.approx(0.3)
    np.testing.assert_array_equal(carezoo.open_image(tmp_path / "source.tif").array(), noisy)
