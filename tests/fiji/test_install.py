"""Commands written into a Fiji that is started by itself: what is written, what is removed, and what is refused."""

import sys
from pathlib import Path

import pytest

import carezoo
from carezoo.cli.main import run
from carezoo_fiji import install


@pytest.fixture
def fiji(tmp_path):
    folder = tmp_path / "Fiji"
    (folder / "jars").mkdir(parents=True)
    (folder / "jars" / "appose-0.10.0.jar").touch()
    (folder / "scripts" / "Plugins").mkdir(parents=True)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "Mine_.ijm").write_text("// mine")
    return folder


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_uninstall_removes_what_install_wrote_and_nothing_else(fiji, capsys):
    before = files(fiji)
    assert run(["fiji", "install", "--fiji", str(fiji)]) == 0
    place = fiji / install.PLACE
    assert {"CARE_Restore....groovy", "CARE_Get_Models....groovy"} < {path.name for path in place.iterdir()}
    assert run(["fiji", "install", "--fiji", str(fiji)]) == 0  # again: replaced
    assert run(["fiji", "status", "--fiji", str(fiji)]) == 0
    assert "runs carezoo" in capsys.readouterr().out
    assert run(["fiji", "uninstall", "--fiji", str(fiji)]) == 0
    assert files(fiji) == before
    assert run(["fiji", "uninstall", "--fiji", str(fiji)]) == 2
    assert "no commands of carezoo are installed" in capsys.readouterr().err


def test_what_the_user_changed_or_added_stays(fiji):
    install.install(fiji, python=Path(sys.executable))
    place = fiji / install.PLACE
    (place / "CARE_Restore....groovy").write_text("// my own version")
    (place / "Other_.groovy").write_text("// other")
    assert [f.is_problem for f in install.status(fiji)] == [False, True, False]
    install.uninstall(fiji)
    assert sorted(path.name for path in place.iterdir()) == ["CARE_Restore....groovy", "Other_.groovy"]
    with pytest.raises(carezoo.CarezooError, match="was not written by carezoo"):
        install.install(fiji, python=Path(sys.executable))


def test_the_commands_are_complete_and_remember_nothing(fiji):
    for path in install.install(fiji, python=Path(sys.executable)):
        script = path.read_text()
        assert not [
            mark for mark in ("@COMMON", "@SETTINGS", "@OPTIONS", "@NAMES", "@MODEL", "@PYTHON") if mark in script
        ]
        parameters = [line for line in script.splitlines() if line.startswith("#@")]
        assert parameters
        assert all("persist=false" in line and "value=" in line for line in parameters)


def test_a_fiji_without_appose_is_told_to_update(fiji, capsys):
    (fiji / "jars" / "appose-0.10.0.jar").unlink()
    assert run(["fiji", "install", "--fiji", str(fiji)]) == 2
    said = capsys.readouterr().err
    assert "brings no Appose" in said
    assert "Help > Update" in said
    assert f"carezoo fiji start --fiji {fiji}" in said
    assert not (fiji / install.PLACE).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["install"], "Missing option '--fiji'"),
        (["install", "--fiji", "nowhere"], "is not the folder of a Fiji: it holds no folder jars and no plugins"),
        (["install", "--fiji", "nowhere"], "For plain ImageJ: carezoo fiji start --imagej-jar ij.jar"),
        (["start", "--headless"], "say what to do with --run MACRO.ijm"),
        (["start", "--headless", "--run", "no.ijm"], "there is no such file"),
    ],
)
def test_mistakes_are_told(arguments, told, capsys):
    assert run(["fiji", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_python_that_moved_is_told(fiji):
    install.install(fiji, python=fiji / "gone" / "python")
    assert "is gone. Run carezoo fiji install again" in install.status(fiji)[-1].text
