"""Collected only inside the process that `test_in_imagej.py` starts."""

import os

if "CAREZOO_INSIDE_IMAGEJ" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
