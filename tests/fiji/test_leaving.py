"""Ends of processes that run Java, on a busy machine. ``CAREZOO_ENDS=50`` repeats each as often."""

import os
import subprocess
import sys
from pathlib import Path

import display
import pytest

pytest.importorskip("jpype", reason='needs jpype1 (pip install "carezoo[fiji]")')
pytestmark = pytest.mark.skipif(bool(display.missing()), reason=display.missing())

N_ENDS = int(os.environ.get("CAREZOO_ENDS", "1"))
NOISY = Path(__file__).parents[2] / "zoo" / "demo" / "noisy.tif"
CLI = [sys.executable, "-m", "carezoo", "fiji", "start", "--imagej-jar", str(display.JAR)]

SCRIPT = """
import sys
import carezoo_fiji
from carezoo_fiji import java, leaving
from carezoo_fiji.java import implements, load

session = carezoo_fiji.start(imagej_jar={jar!r})
pool = load("java.util.concurrent.Executors").newScheduledThreadPool(4)
unit = load("java.util.concurrent.TimeUnit").MILLISECONDS
work = [lambda: load("ij.IJ").showStatus("Java calls Python, which calls Java")] * 3 + [load("java.lang.System").gc]
calls = [implements("java.lang.Runnable", run=each) for each in work]
for call in calls:
    pool.scheduleAtFixedRate(call, 0, 1, unit)
{then}
"""

UNDER_WAY = """
import time
import numpy as np
session.show(np.random.default_rng(0).integers(0, 900, (300, 64, 64), np.uint16), "TYX", title="long")
java.start_thread("a menu", lambda: session.run("CARE Restore...", "model=denoise-bpae-2d"))
while not leaving._workers:
    time.sleep(0.01)
sys.exit(5)
"""


@pytest.fixture(scope="module")
def environment():
    with display.screen() as environment, display.busy_machine():
        yield environment


def ended(command, environment):
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=display.PATIENCE_S, check=False
    )


@pytest.mark.timeout(display.PATIENCE_S * (N_ENDS + 1))
@pytest.mark.parametrize(
    ("then", "exit_code"),
    [
        ("", 0),
        ("print('told', end=''); leaving.leave(4)", 4),
        (UNDER_WAY, 5),
    ],
    ids=["at the end of a script", "by leave", "while a command works"],
)
def test_python_ends_while_java_calls_it(then, exit_code, environment):
    command = [sys.executable, "-c", SCRIPT.format(jar=str(display.JAR), then=then)]
    for _ in range(N_ENDS):
        done = ended(command, environment)
        assert (done.returncode, done.stderr) == (exit_code, "")
        assert done.stdout == ("told" if "told" in then else "")


@pytest.mark.timeout(display.PATIENCE_S * (N_ENDS + 1))
@pytest.mark.parametrize(("text", "exit_code"), [("return 'done';", 0), ('run("CARE Restore...", "model=x");', 1)])
def test_a_macro_ends_with_its_exit_code(text, exit_code, environment, tmp_path):
    macro = tmp_path / "macro.ijm"
    macro.write_text(text)
    for _ in range(N_ENDS):
        done = ended([*CLI, "--run", str(macro)], environment)
        assert done.returncode == exit_code, done.stderr
        assert done.stdout.splitlines()[-1].startswith("CAREZOO ERROR" if exit_code else "CAREZOO OK")


@pytest.mark.timeout(display.PATIENCE_S * (N_ENDS + 1))
def test_closing_the_window_ends_python_with_exit_code_0(environment):
    for _ in range(N_ENDS):
        with subprocess.Popen([*CLI, str(NOISY)], env=environment) as process:
            try:
                display.wait_for(lambda: display.windows(environment, "^noisy.tif"), "the window of noisy.tif")
                for window in display.windows(environment, "^ImageJ$"):
                    display.ask_to_close(environment, window)
                assert process.wait(timeout=display.PATIENCE_S) == 0
            finally:
                process.kill()  # leaving the block waits for it


def test_failures_of_tests_inside_are_told(environment, tmp_path):
    test = tmp_path / "test_fails.py"
    test.write_text(
        "from carezoo_fiji import java\n\n\n"
        "def test_fails():\n    java.start([java.find_jar()], headless=True)\n    assert java.is_running() == 'told'\n"
    )
    done = display.run_inside(test, environment)
    assert done.returncode == 1
    assert "1 failed" in done.stdout.splitlines()[-1]
