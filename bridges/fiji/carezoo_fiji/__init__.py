"""carezoo inside ImageJ and Fiji: windows, dialogs and conversion; no numerics, no numeric defaults.

>>> import carezoo_fiji
>>> session = carezoo_fiji.start()  # doctest: +SKIP
>>> session.active_image()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {"FijiSession": "carezoo_fiji.session", "attach": "carezoo_fiji.launch", "start": "carezoo_fiji.launch"}

__all__ = ["FijiSession", "attach", "start"]

if TYPE_CHECKING:
    from carezoo_fiji.launch import attach, start
    from carezoo_fiji.session import FijiSession


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'carezoo_fiji' has no attribute {name!r}")
