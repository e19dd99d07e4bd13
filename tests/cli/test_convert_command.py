"""``carezoo convert``: options as people type them, messages, exit codes."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from carezoo.cli.main import run
from carezoo.errors import InputError

pytest.importorskip("torch", reason='needs the extra "train"')

GOLDEN = Path(__file__).parents[1] / "golden" / "csbdeep"


@pytest.fixture
def asked(monkeypatch):
    """Record what the conversion is asked for, instead of doing it."""

    calls = []

    def convert(model, target, choices, *, overwrite):
        calls.append((model, target, choices, overwrite))
        return target

    monkeypatch.setattr("carezoo.train.convert.run.convert", convert)
    return calls


def test_options_arrive(asked, capsys):
    options = "--factor 10.2 --as isotropic --percentiles 1,99 --pixel-size 2,0.2,0.2 --channels a,b --author Ann"
    assert run(["convert", "model", "-o", "out.zip", *options.split(), "--overwrite"]) == 0
    model, target, choices, overwrite = asked[0]
    assert (model, target, overwrite) == (Path("model"), Path("out.zip"), True)
    assert (choices.task, choices.factor, choices.percentiles) == ("isotropic", Fraction(51, 5), (1.0, 99.0))
    assert (choices.pixel_size_um, choices.channels) == ({"Z": 2.0, "Y": 0.2, "X": 0.2}, ("a", "b"))
    assert choices.authors == ("Ann",)
    assert capsys.readouterr().out == "out.zip\n"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("--factor 0.1", "--factor 0.1: expected 1 or more"),
        ("--factor ten", "--factor ten: expected a number or a fraction"),
        ("--percentiles 99,2", "--percentiles 99,2: expected two numbers from 0 to 100, the lower one first"),
        ("--percentiles 2", "--percentiles 2: expected 2 numbers"),
        ("--pixel-size 1", "--pixel-size 1: expected 2 or 3 numbers"),
        ("--pixel-size 0,1", "--pixel-size 0,1: expected sizes above 0"),
    ],
)
def test_option_values_that_make_no_sense(asked, capsys, options, match):
    assert run(["convert", "model", "-o", "out.zip", *options.split()]) == InputError.exit_code
    assert match in capsys.readouterr().err
    assert asked == []


def test_a_truncated_file_is_one_line_and_leaves_nothing(tmp_path, capsys):
    shutil.copytree(GOLDEN / "care2d", tmp_path / "model")
    weights = tmp_path / "model" / "weights_best.h5"
    weights.write_bytes(weights.read_bytes()[:20_000])
    assert run(["convert", str(tmp_path / "model"), "-o", str(tmp_path / "out" / "out.zip")]) == InputError.exit_code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "weights_best.h5 is damaged or was not copied completely" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_needs_no_torch():
    import subprocess

    code = "from carezoo.cli.main import run; import sys; run(['convert', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
