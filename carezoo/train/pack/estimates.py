"""How large the errors of restored images are where there is no clean one, and whether further training helped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from carezoo.errors import DataError, InputError, NoGainError
from carezoo.evaluate.assessment import RESTORED
from carezoo.evaluate.estimated import EstimatedScores, describe_removed, estimate_scores
from carezoo.image import Image
from carezoo.package.read import Package
from carezoo.pairs.find import Pair
from carezoo.settings import Settings

log = logging.getLogger("carezoo")

LARGEST = {"YX": {"Y": 512, "X": 512}, "ZYX": {"Z": 32, "Y": 192, "X": 192}}
"""What is scored of an image, by the axes of the model: its middle, a few seconds with all classical methods."""

MOST_IMAGES = 8
"""Noisy images that errors are estimated on."""


@dataclass(frozen=True)
class Estimates:
    """What is known of a model that was trained with noisy images alone."""

    model: EstimatedScores
    parent: EstimatedScores | None
    """Of the model that the training started from, by the same noise."""

    def require_gain(self) -> None:
        """Refuse a model that is no better than the one it comes from.

        Raises
        ------
        NoGainError
            With both errors.
        """
        if self.parent is None:
            return
        now, before = (each.methods[RESTORED] for each in (self.model, self.parent))
        if now.share.value >= before.share.value:
            raise NoGainError(
                f"{self.parent.model} as it is takes {describe_removed(before)} of noise away on images kept for that, "
                f"and {describe_removed(now)} after further training; keep it as it is"
            )


def estimate(package: Package, pairs: Sequence[Pair], parent: Package | None) -> Estimates | None:
    """Estimate errors on noisy images that neither trained nor chose the model; None, with a warning: not possible.

    Parameters
    ----------
    pairs
        Noisy images to report on; those of the first set are used.
    parent
        What the training started from.
    """
    mine = [pair for pair in pairs if pair.dataset == pairs[0].dataset][:MOST_IMAGES]
    images = [_take_middle(pair, package.manifest.spatial_axes) for pair in mine]
    noisy = mine[0].noisy
    noise = noisy.noise[0] if noisy and len(set(noisy.noise)) == 1 else None
    try:
        found = [
            estimate_scores(each, images, noise=noise, settings=Settings(provider="cpu")) if each else None
            for each in (package, parent)
        ]
    except (InputError, DataError) as error:
        log.warning("errors of restored images could not be estimated: %s", error)
        return None
    return Estimates(found[0], found[1]) if found[0] else None


def _take_middle(pair: Pair, spatial: str) -> Image:
    """Return the middle of an image, with the channels that are used."""
    image, used = pair.source, pair.source_channels
    region = {"C": slice(min(used), max(used) + 1)} if "C" in image.axes else {}
    for letter, largest in LARGEST[spatial].items():
        n, kept = image.sizes[letter], min(image.sizes[letter], largest)
        region[letter] = slice((n - kept) // 2, (n - kept) // 2 + kept)
    return image.crop(region)
