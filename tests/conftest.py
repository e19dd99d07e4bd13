"""What all tests share."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # packages.py, which builds models for tests of every layer

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: before NumPy and torch count them
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")


def pytest_collection_modifyitems(items):
    """Begin with the longest files: at the end, no process waits for one that has just begun with such a file."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/fiji", "tests/train", "tests/check")))


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch):
    """Keep tests away from the user's settings, and the environment as it was."""
    monkeypatch.delenv("CAREZOO_DEBUG", raising=False)
    before = dict(os.environ)
    yield
    own = ("PYTEST_", "PYTORCH_", "TORCH")  # importing torch sets variables of its own
    names = {name for name in {*before, *os.environ} if not name.startswith(own)}
    changed = {name for name in names if before.get(name) != os.environ.get(name)}
    assert not changed, f"environment changed by a test: {changed}"
