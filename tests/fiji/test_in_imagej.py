"""Tests with a real ImageJ: every file below `inside` runs in a process of its own, with a Java virtual machine."""

from pathlib import Path

import display
import pytest

pytest.importorskip("jpype", reason='needs jpype1 (pip install "carezoo[fiji]")')
pytestmark = pytest.mark.skipif(bool(display.missing()), reason=display.missing())

INSIDE = sorted((Path(__file__).parent / "inside").glob("test_*.py"))


@pytest.mark.timeout(1300)
@pytest.mark.parametrize("path", INSIDE, ids=lambda path: path.stem)
def test_in_imagej(path):
    with display.screen() as environment:
        done = display.run_inside(path, environment)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
