"""Content-aware restoration (CARE) of fluorescence microscopy.

>>> import carezoo
>>> model = carezoo.load("denoise-bpae-2d")
>>> restoration = model.restore("cell.tif")  # doctest: +SKIP

Importing carezoo loads neither torch nor ONNX Runtime; what is used is loaded when it is used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from carezoo.version import __version__

# Wheels of ONNX Runtime collect telemetry unless this is set before they are imported, by whomever. A value that the
# user has set stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "CarezooError": "carezoo.errors",
    "Image": "carezoo.image",
    "Model": "carezoo.api",
    "Restoration": "carezoo.runtime.restoration",
    "Settings": "carezoo.settings",
    "load": "carezoo.api",
    "models": "carezoo.registry.catalog",
    "open_image": "carezoo.files",
    "outdated": "carezoo.registry.catalog",
    "pull": "carezoo.registry.resolve",
    "remove": "carezoo.registry.catalog",
    "score": "carezoo.metrics",
    "suggest": "carezoo.registry.suggest",
    "write_image": "carezoo.files",
}

__all__ = [
    "CarezooError",
    "Image",
    "Model",
    "Restoration",
    "Settings",
    "__version__",
    "load",
    "models",
    "open_image",
    "outdated",
    "pull",
    "remove",
    "score",
    "suggest",
    "write_image",
]

if TYPE_CHECKING:
    from carezoo.api import Model, load
    from carezoo.errors import CarezooError
    from carezoo.files import open_image, write_image
    from carezoo.image import Image
    from carezoo.metrics import score
    from carezoo.registry.catalog import models, outdated, remove
    from carezoo.registry.resolve import pull
    from carezoo.registry.suggest import suggest
    from carezoo.runtime.restoration import Restoration
    from carezoo.settings import Settings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'carezoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
