"""How work that takes its time says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is in all (voxels, bytes, steps or images), and what is worked on."""
