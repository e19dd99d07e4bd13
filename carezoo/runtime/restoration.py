"""What comes back from a restoration: images, and what is known of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.image import Image


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What makes the pixels; known before the first one is computed, and written into every restored file."""

    model: str
    """Name of the model."""
    version: str
    package_sha256: str
    """Hash of the package's manifest, which holds the hashes of all its files."""
    provider: str
    """cpu, openvino, cuda or tensorrt."""
    precision: str
    """exact or fast."""
    dtype: str
    """Numbers of the convolutions: float32, bfloat16 or float16."""
    reason: str
    """Why this provider."""
    tile: tuple[int, ...]
    """Shape of the tiles along the network's axes."""
    n_tiles: int
    """Tiles of one frame."""
    halo_share: float
    """Share of the computed pixels that is thrown away as halo."""
    carezoo_version: str
    unlike_training: tuple[str, ...] = ()
    """How the image differs from those the model was trained on; empty where it does not, or where nothing is known."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a restoration went."""

    provenance: Provenance
    n_voxels: int
    seconds: float
    """From the first pixel read to the last one written."""
    n_clipped: int
    """Pixels that did not fit into the requested integer type."""
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Restoration:
    """Restored images in the intensity units of the input."""

    images: Mapping[str, Image]
    """By name of the result: `mean`; `scale` for probabilistic models; `disagreement` for ensembles."""
    report: Report

    @property
    def mean(self) -> NDArray[np.generic]:
        """The restored pixels; axes as in ``images["mean"].axes``."""
        return self._array("mean")

    @property
    def scale(self) -> NDArray[np.generic]:
        """Laplace scale b of each pixel, in intensity units of the input."""
        return self._array("scale")

    @property
    def std(self) -> NDArray[np.generic]:
        """Standard deviation of each pixel, ``sqrt(2) * scale``."""
        return np.asarray(self.scale, np.float32) * np.float32(np.sqrt(2))

    @property
    def disagreement(self) -> NDArray[np.generic]:
        """Disagreement of the members of an ensemble, 0 to 1."""
        return self._array("disagreement")

    @property
    def axes(self) -> str:
        """Axes of `mean`."""
        return self.images["mean"].axes

    def _array(self, name: str) -> NDArray[np.generic]:
        if name not in self.images:
            raise InputError(
                f"model {self.report.provenance.model} gives no {name}; it gives {', '.join(self.images)}. "
                + ("Use a probabilistic model" if name == "scale" else "Use an ensemble")
            )
        return self.images[name].array()
