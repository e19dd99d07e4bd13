"""What comes back from a restoration: images, and what is known of how they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.runtime import members
from carezoo.uncertainty.laplace import Laplace, require_level, require_probability
from carezoo.uncertainty.levels import Recalibration
from carezoo.uncertainty.mixture import Mixture


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
    average: int = 1
    """Frames (T) of the image in one of the restored ones."""
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
    """Restored images in the intensity units of the input, and what the model knows of their pixels.

    Arrays have the axes of `mean`, one number for each of its pixels. Of an image that is too large for the memory its
    uncertainty takes, ask for parts: ``restoration.crop({"Y": slice(0, 512)}).interval(0.9)``.
    """

    images: Mapping[str, Image]
    """By name of the result: `mean`; `scale` for probabilistic models; `disagreement` for ensembles."""
    report: Report
    members: Mapping[str, Image] = field(default_factory=dict)
    """What the members of an ensemble say, where it was kept; see `carezoo.runtime.members`."""
    recalibration: Recalibration | None = None
    """At which levels the model has to be asked so that intervals hold; None: as its distribution promises."""

    @property
    def mean(self) -> NDArray[np.generic]:
        """The restored pixels; axes as in ``images["mean"].axes``."""
        return self._array("mean")

    @property
    def scale(self) -> NDArray[np.generic]:
        """Laplace scale b of each pixel, in intensity units of the input.

        For an ensemble it is that of the Laplace distribution with the variance of the mixture of all members.
        """
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

    @property
    def distribution(self) -> Laplace | Mixture:
        """What the model says of every pixel: a Laplace distribution, or for an ensemble the mixture of its members.

        It is not recalibrated; `interval`, `quantile` and `probability` are.

        Raises
        ------
        InputError
            If the model gives no scale, or the members of an ensemble were not kept.
        """
        if self.members:
            return members.mixture(self.members, self.images["mean"])
        scale = self.scale
        if "disagreement" in self.images:
            raise InputError(
                f"{self.report.provenance.model} is an ensemble, and the members of this restoration were not kept: "
                "restore with keep_members=True, or a part of the image"
            )
        return members.laplace(self.mean, scale)

    def interval(self, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return lower and upper bound of the central interval that holds the true value with probability `level`.

        As much probability lies below it as above. Closed form for a single model, the exact quantiles of the mixture
        for an ensemble, at the level that was measured to hold where the package has one.

        Raises
        ------
        InputError
            If `level` is not at least 0 and below 1, or as for `distribution`.
        """
        require_level(level)
        return self.distribution.interval(self.recalibration.level(level) if self.recalibration else level)

    def quantile(self, p: float) -> NDArray[Any]:
        """Return the value that the true one exceeds with probability ``1 - p``.

        Raises
        ------
        InputError
            If `p` is not between 0 and 1 (both excluded), or as for `distribution`.
        """
        require_probability(p)
        return self.distribution.quantile(self.recalibration.probability(p) if self.recalibration else p)

    def probability(self, *, above: float | NDArray[Any]) -> NDArray[Any]:
        """Return the probability (0 to 1) that the true value is larger than `above`, a number or an array like `mean`.

        Raises
        ------
        InputError
            As for `distribution`.
        """
        found = self.distribution.probability(above=np.asarray(above, np.float32))
        if self.recalibration is None:
            return found
        distance = 2.0 * found - 1.0  # from even chances: the level of the interval that `above` is a bound of
        held = np.copysign(self.recalibration.holds(np.abs(distance)), distance)
        return np.asarray((1.0 + held) / 2.0, np.float32)

    def sample(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return an image the model holds possible: one draw per pixel, each independent of its neighbours.

        Raises
        ------
        InputError
            As for `distribution`.
        """
        return self.distribution.sample(rng)

    def crop(self, region: Mapping[str, slice]) -> Restoration:
        """Return the restoration of a part of the image, without reading it.

        Parameters
        ----------
        region
            Slices with step 1 by axis letter, in pixels of `mean`; missing axes stay whole.

        Raises
        ------
        InputError
            If a slice lies outside the image or is empty.
        """
        images = {name: image.crop(region) for name, image in self.images.items()}
        if "C" in region and self.members:
            raise InputError("members of an ensemble are cropped along space and time, not along C")
        kept = {name: image.crop(region) for name, image in self.members.items()}
        return replace(self, images=images, members=kept)

    def lazily(self, compute: Callable[[Restoration], NDArray[Any]]) -> Image:
        """Return an image with the pixels that `compute` returns of a restoration, computed where it is read.

        Parameters
        ----------
        compute
            Gets the restoration of a part; one number for each pixel comes back.

        Examples
        --------
        >>> upper = restoration.lazily(lambda part: part.quantile(0.95))  # doctest: +SKIP
        >>> carezoo.write_image("upper.tif", upper)  # doctest: +SKIP
        """
        return replace(self.images["mean"], pixels=_Computed(self, compute))

    def _array(self, name: str) -> NDArray[np.generic]:
        if name not in self.images:
            raise InputError(
                f"model {self.report.provenance.model} gives no {name}; it gives {', '.join(self.images)}. "
                + ("Use a probabilistic model" if name == "scale" else "Use an ensemble")
            )
        return self.images[name].array()


@dataclass(frozen=True, eq=False)
class _Computed:
    """Pixels that are computed from a part of a restoration when they are read."""

    restoration: Restoration
    compute: Callable[[Restoration], NDArray[Any]]
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return self.restoration.images["mean"].shape

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        """Compute one region."""
        bounds = [
            slice(*item.indices(size)[:2]) if isinstance(item, slice) else slice(int(item), int(item) + 1)
            for item, size in zip(key, self.shape, strict=True)
        ]
        whole = [bound == slice(0, size) for bound, size in zip(bounds, self.shape, strict=True)]
        region = {
            letter: bound
            for letter, bound, is_whole in zip(self.restoration.axes, bounds, whole, strict=True)
            if not is_whole
        }
        values = np.asarray(self.compute(self.restoration.crop(region)), np.float32)
        return values[tuple(slice(None) if isinstance(item, slice) else 0 for item in key)]
