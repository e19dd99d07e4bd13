"""`check`, `info`, `list`, `doctor`, `train` as a user calls them."""

import json

import packages
import pytest

from carezoo.cli import doctor
from carezoo.cli.main import run
from carezoo.package.write import write_package


@pytest.fixture
def package(tmp_path):
    return str(write_package(packages.denoise_2d(), tmp_path / "one.zip"))


def test_check_and_info(package, capsys):
    assert run(["check", package]) == 0
    assert "test-2d 1.0.0: passed" in capsys.readouterr().out
    assert run(["check", package, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    assert run(["info", package]) == 0
    assert "task          denoise" in capsys.readouterr().out


def test_check_fails_with_the_code_of_packages(tmp_path, capsys):
    wrong = packages.denoise_2d(rules={letter: packages.AxisRule(2, 2, 2) for letter in "YX"})
    assert run(["check", str(write_package(wrong, tmp_path / "wrong.zip"))]) == 3
    assert "FAILED   halo y" in capsys.readouterr().out


def test_damaged_packages_are_told_in_one_line(tmp_path, capsys):
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 not really")
    for command in ("check", "info"):
        assert run([command, str(tmp_path / "bad.zip")]) == 3
        assert "bad.zip" in capsys.readouterr().err


def test_what_has_one_channel_needs_no_axis_for_it(package, tmp_path, capsys):
    assert run(["info", package]) == 0
    told = capsys.readouterr().out
    assert "takes         YX (" in told
    assert "mean          YX (" in told
    two = str(write_package(packages.two_channels_2d(), tmp_path / "two.zip"))
    assert run(["info", two]) == 0
    assert "takes         CYX (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["restor"], "Did you mean restore"),
        (["dctor"], "Did you mean doctor"),
        (["zzz"], "No such command 'zzz'"),
        (["fiji", "strt"], "No such command 'strt'"),
        (["info"], "carezoo list shows the models there are"),
        (["evaluate", "--source", "a", "--target", "b", "-o", "c"], "carezoo list shows the models there are"),
    ],
)
def test_what_is_mistyped_or_missing_is_told_with_what_there_is(words, told, capsys):
    assert run(words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["demo"], ["site"], ["simulate", "recipe.yaml"], ["train", "recipe.yaml"]])
def test_a_file_where_a_folder_should_be_is_refused_before_any_work(words, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run([*words, "-o", str(tmp_path / "file" / "deeper")]) == 2
    assert "is a file. Choose another folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_what_the_system_refuses_is_no_bug(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(5, "Input/output error", "drive/image.tif")

    monkeypatch.setattr("carezoo.registry.catalog.models", refuse)
    assert run(["list"]) == 2
    assert capsys.readouterr().err == "error: drive/image.tif: Input/output error\n"
    with monkeypatch.context() as debugging:
        debugging.setenv("CAREZOO_DEBUG", "1")
        assert run(["list"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_list_is_readable_and_json(capsys):
    assert run(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "denoise-bpae-2d" in {row["name"] for row in rows}
    assert run(["list"]) == 0
    assert "denoise-bpae-2d" in capsys.readouterr().out


def test_doctor(capsys):
    run(["doctor"])
    told = capsys.readouterr().out
    assert "provider cpu             loads" in told
    assert "numpy" in told


def test_doctor_sees_both_wheels(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "find_installed", lambda name: "1.32.0")
    assert run(["doctor"]) == 1
    assert "onnxruntime and onnxruntime-gpu are both installed" in capsys.readouterr().out


def test_doctor_sees_the_broken_pydantic(monkeypatch):
    versions = {"bioimageio.core": "0.11.0", "pydantic": "2.14.1"}
    monkeypatch.setattr(doctor, "find_installed", versions.get)
    assert "breaks with pydantic 2.14.1" in doctor._bioimageio()[0].text
    versions["pydantic"] = "2.13.5"
    assert doctor._bioimageio() == []
