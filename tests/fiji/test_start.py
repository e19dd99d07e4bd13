"""`carezoo fiji start` as a process: it runs macros, and says what is missing. How it ends: `test_leaving.py`."""

import os
import subprocess
import sys
from pathlib import Path

import display
import pytest

import carezoo

ROOT = Path(__file__).parents[2]
MODEL = carezoo.load("denoise-bpae-2d").manifest.reference
CLI = [sys.executable, "-m", "carezoo", "fiji", "start", "--imagej-jar", str(display.JAR)]

pytest.importorskip("jpype", reason='needs jpype1 (pip install "carezoo[fiji]")')
needs_screen = pytest.mark.skipif(bool(display.missing()), reason=display.missing())


@needs_screen
def test_a_macro_ends_with_its_verdict_as_exit_code(tmp_path):
    macro = tmp_path / "work.ijm"
    macro.write_text(
        "open(getArgument()); makeRectangle(0, 0, 64, 64);\n"
        'run("CARE Restore...", "model=denoise-bpae-2d region=selection"); return getTitle();'
    )
    bad = tmp_path / "bad.ijm"
    bad.write_text('run("CARE Restore...", "model=denoise-bpae-2d");')
    image = str(ROOT / "zoo" / "demo" / "noisy.tif")
    with display.screen() as environment:
        good = [*CLI, "--run", str(macro), "--argument", image]
        done = subprocess.run(
            good, env=environment, capture_output=True, text=True, timeout=display.PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "noisy_restored",
            f"CAREZOO OK restored noisy.tif with {MODEL}",
        ]
        done = subprocess.run(
            [*CLI, "--run", str(bad)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=display.PATIENCE_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("CAREZOO ERROR InputError: there is no image open")


@needs_screen
def test_an_error_of_the_macro_itself_waits_for_nobody(tmp_path):
    macro = tmp_path / "wrong.ijm"
    macro.write_text('showMessage("hello"); x = unknown + 1;\nrun("CARE Restore...", "model=denoise-bpae-2d");')
    with display.screen() as environment:
        command = [*CLI, "--run", str(macro)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=display.PATIENCE_S, check=False
        )
    assert done.returncode == 1
    verdict = done.stdout.splitlines()[-1]
    assert verdict.startswith(f"CAREZOO ERROR MacroError: {macro}: Undefined variable in line 1")
    assert "ImageJ: hello" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--imagej-jar", __file__], "is not ImageJ's jar: it holds no class ij.ImageJ"),
        (["--imagej-jar", "nowhere.jar"], "there is no ij.jar at nowhere.jar"),
        (["--imagej-jar", str(display.JAR), "--headless", "--run", __file__], "--headless needs a Fiji"),
    ],
)
def test_mistakes_are_told_before_java_starts(arguments, told):
    command = [sys.executable, "-m", "carezoo", "fiji", "start", *arguments]
    environment = {**os.environ, "DISPLAY": ":0"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=display.PATIENCE_S, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr


def test_without_a_screen_it_says_so():
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run(CLI, env=environment, capture_output=True, text=True, timeout=display.PATIENCE_S, check=False)
    if sys.platform == "linux":
        assert done.returncode == 2
        assert "there is no screen to open windows on" in done.stderr


@pytest.mark.fiji
@pytest.mark.skipif("CAREZOO_FIJI" not in os.environ, reason="needs a Fiji: set CAREZOO_FIJI to its folder")
def test_a_real_fiji_restores_headless(tmp_path):
    macro = tmp_path / "work.ijm"
    macro.write_text('open(getArgument()); run("CARE Restore...", "model=denoise-bpae-2d"); return getTitle();')
    image = str(ROOT / "zoo" / "demo" / "noisy.tif")
    command = [sys.executable, "-m", "carezoo", "fiji", "start", "--headless", "--run", str(macro), "--argument", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"CAREZOO OK restored noisy.tif with {MODEL}"
