"""Tests of the bridge to ImageJ and Fiji."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
