"""From pairs of files to what is scored: one channel of one frame after the other, restored as a user restores it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError, PixelError
from carezoo.evaluate.baselines import Given
from carezoo.image import Image
from carezoo.metrics import AffineFit
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.pairs.cache import read
from carezoo.pairs.find import Pair
from carezoo.pairs.intensity import Relation
from carezoo.runtime import members
from carezoo.runtime.restoration import Restoration
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture, map_distribution

log = logging.getLogger("carezoo")


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """One channel of one frame, YX or ZYX."""

    name: str
    """File, and frame and channel where it has several."""
    file: str
    group: str
    """Condition, and channel where the model restores several: what means are taken over."""
    source: NDArray[Any]
    target: NDArray[Any]
    pixel_size_um: Mapping[str, float]
    """Of the target, by axis letter."""
    restored: NDArray[Any] | None = None
    """In the intensity units of the source; None until it is restored."""
    predicted: Laplace | Mixture | None = None
    """What a probabilistic model says of every pixel."""
    disagreement: NDArray[Any] | None = None
    """Of an ensemble."""
    units: AffineFit | None = None
    """Maps the target into the units of the restored image; None where that is not known beforehand."""

    def crop_middle(self, largest: Mapping[str, int]) -> ScoredFrame:
        """Return the middle of the frame, at most `largest` pixels along each axis named there.

        Z stays whole where source and target differ along it.
        """
        is_whole = self.source.shape[:-2] != self.target.shape[:-2]

        def middle(image: NDArray[Any]) -> NDArray[Any]:
            index: list[slice] = [slice(None)] * image.ndim
            for axis, letter in zip((-1, -2, -3), "XYZ", strict=True):
                n = image.shape[axis] if image.ndim >= -axis else 0
                if letter in largest and n > largest[letter] and not (letter == "Z" and is_whole):
                    start = (n - largest[letter]) // 2
                    index[axis] = slice(start, start + largest[letter])
            return image[tuple(index)]

        return replace(
            self,
            source=middle(self.source),
            target=middle(self.target),
            restored=None if self.restored is None else middle(self.restored),
            predicted=None if self.predicted is None else map_distribution(self.predicted, middle),
            disagreement=None if self.disagreement is None else middle(self.disagreement),
        )


def has_own_units(manifest: Manifest) -> bool:
    """Whether intensities of restored images have no fixed relation to those of the input."""
    intensity = manifest.carezoo.intensity
    has_own = intensity is not None and intensity.mode == "own"
    return manifest.loses("Z") or has_own or manifest.results[0].undo == "none"


def groups_of(pairs: Iterable[Pair], manifest: Manifest) -> list[str]:
    """Return the names of the groups that `frames` will make of `pairs`, in order."""
    names = [_group(pair, channel, manifest) for pair in pairs for channel in range(_n_channels(pair))]
    return list(dict.fromkeys(names))


def frames(
    pair: Pair,
    manifest: Manifest,
    most: int,
    restoration: Restoration | None = None,
    relation: Relation | None = None,
) -> Iterator[ScoredFrame]:
    """Yield what is scored of one pair.

    Parameters
    ----------
    most
        Frames (time points, samples, and planes for 2D models) of a file with more of them, spread evenly.
    restoration
        Of the pair's source; None leaves out what it would give.
    relation
        Of target and restored image, where it is known.

    Raises
    ------
    PixelError
        If a pixel is NaN or infinite.
    """
    spatial = manifest.spatial_axes
    images = {**restoration.images, **restoration.members} if restoration else {}
    size = images["mean"].pixel_size_um if images else pair.target.pixel_size_um
    for region, words in regions(pair.source, spatial, most):
        try:
            source = read(pair.source, region)[list(pair.source_channels)]
            target = read(pair.target, _in_target(pair.target, region))[list(pair.target_channels)]
        except DataError as error:
            raise PixelError(str(error)) from error
        found = {name: planar(read(image, region)) for name, image in images.items()}
        for channel in range(_n_channels(pair)):
            one = {name: values[min(channel, len(values) - 1)] for name, values in found.items()}
            yield ScoredFrame(
                name=pair.name + words + (f", channel {channel}" if _n_channels(pair) > 1 else ""),
                file=pair.name,
                group=_group(pair, channel, manifest),
                source=planar(source)[min(channel, len(source) - 1)],
                target=planar(target)[channel],
                pixel_size_um=size,
                restored=one.get("mean"),
                predicted=members.distribution(found, channel, _n_channels(pair)),
                disagreement=one.get("disagreement"),
                units=None if relation is None else _fit(relation, channel),
            )


def open_restorer(package: Package, settings: Settings | None = None) -> Callable[[Pair], Restoration]:
    """Return what restores the source of a pair, always with the same loaded network.

    Sources are means of frames already, where `settings` ask for them.
    """
    settings = settings or Settings()
    nodata = settings.nodata if settings.average == 1 else "none"  # means are masked where they are not valid
    settings = replace(settings, average=1, nodata=nodata, keep_members=True)
    session = open_session(package, settings)
    return lambda pair: restore(_model_input(pair), package, settings, session=session)


def gather_given(manifest: Manifest, psf: NDArray[Any] | None = None) -> Given:
    """Return what baselines get beside the images."""
    factor = manifest.factor("Z")
    return Given(None if psf is None else np.asarray(psf, np.float32), None if factor == 1 else float(factor))


def _n_channels(pair: Pair) -> int:
    return len(pair.target_channels)


def _group(pair: Pair, channel: int, manifest: Manifest) -> str:
    if _n_channels(pair) == 1:
        return pair.dataset
    means = manifest.results[0]
    names = manifest.main.channels
    is_named = len(means.channels) == _n_channels(pair)
    name = names[means.channels[channel]] if is_named else f"channel {channel}"
    return f"{pair.dataset}: {name}" if pair.dataset else name


def _fit(relation: Relation, channel: int) -> AffineFit:
    return AffineFit(float(relation.gain[channel]), float(relation.offset[channel]))


def planar(channels: NDArray[Any]) -> NDArray[Any]:
    """Return channels (CZYX) without a Z axis of one plane."""
    return channels[:, 0] if channels.shape[1] == 1 else channels


def _model_input(pair: Pair) -> Image:
    """Return the source with the channels of the model alone."""
    image = pair.source
    if image.sizes.get("C", 1) == len(pair.source_channels):
        return image
    channels = np.take(image.array(), pair.source_channels, axis=image.axes.index("C"))
    return Image(channels, image.axes, image.pixel_size_um, name=image.name)


def regions(image: Image, spatial_axes: str, most: int) -> Iterator[tuple[dict[str, slice], str]]:
    """Yield regions of single frames, spread evenly, and what to add to the name of the image."""
    letters = [letter for letter in "STZ" if letter not in spatial_axes and letter in image.sizes]
    shape = tuple(image.sizes[letter] for letter in letters)
    n = int(np.prod(shape))
    k = min(n, most)
    for flat in ((2 * i + 1) * n // (2 * k) for i in range(k)):  # the middles of k equal parts
        index = dict(zip(letters, (int(i) for i in np.unravel_index(flat, shape)), strict=True)) if shape else {}
        region = {letter: slice(i, i + 1) for letter, i in index.items()}
        yield region, "".join(f", {letter} {i}" for letter, i in index.items() if image.sizes[letter] > 1)


def _in_target(target: Image, region: dict[str, slice]) -> dict[str, slice]:
    """Return the region of a target, which may have one frame for all those of its source."""
    return {letter: span if target.sizes.get(letter, 1) > 1 else slice(0, 1) for letter, span in region.items()}
