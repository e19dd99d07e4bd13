"""The KNIME nodes: what they do without KNIME, always; with KNIME's own Python API where that is at hand."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bridges" / "knime" / "src"))
