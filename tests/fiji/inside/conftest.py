"""Collected only inside the process that `test_in_imagej.py` starts."""

import os
import sys

import pytest

if "CAREZOO_INSIDE_IMAGEJ" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
else:
    ended = {}

    def pytest_sessionfinish(exitstatus):
        ended["status"] = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure():
        # All is told by now. ImageJ's event thread may call Python while that is being taken down, which then aborts
        # (seen once, on a busy machine, after all tests had passed).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended["status"])
