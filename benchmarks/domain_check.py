"""How often the out-of-distribution check warns: of crops of the training kind, of other kinds, and of changed ones.

Needs CAREZOO_DATA, the folder with the sets that `zoo/tools/image_kinds.py` names. Reported are kinds that had no part
in choosing prior and weights; `python -m zoo.tools.fit_domain_check` prints the same of those that had, each judged by
weights fitted without it. `zoo/tools/held_out_crops.py` describes the crops and their variants.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, ratio
from benchmarks.models import package, structure
from carezoo.domain_check.compare import Against, compare
from carezoo.domain_check.crops import SIDE
from carezoo.domain_check.record import ImageSample, describe
from carezoo.image import Image
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings
from zoo.tools import image_kinds
from zoo.tools.held_out_crops import VARIANTS, Measurement, comparisons, measurements

PROMISED = {
    "same": ("of the training kind, not seen", {"at_most": 5.0}),
    "field": ("of the training kind, not seen, all of a field together", {}),
    "other": ("of another structure", {"at_least": 90.0}),
    "double": ("of double magnification", {"at_least": 90.0}),
    "half": ("of half magnification", {"at_least": 90.0}),
    "double, new noise": ("of double magnification, noise of the camera", {}),
    "half, new noise": ("of half magnification, noise of the camera", {}),
    "noise": ("with four times the noise", {"at_least": 90.0}),
    "inverted": ("with inverted contrast", {"at_least": 90.0}),
}


def figures() -> Iterator[Figure]:
    if "CAREZOO_DATA" not in os.environ:
        yield Figure("warnings on images unlike the training images", None, note="needs CAREZOO_DATA")
        return
    yield from rates(warned(measurements(image_kinds.measured_on(Path(os.environ["CAREZOO_DATA"])))))
    yield from costs()


def costs() -> Iterator[Figure]:
    """Yield what the comparison costs beside the restoration it comes with, from array to array."""
    record = describe({"any": [ImageSample(Image(structure((SIDE, SIDE)), "YX"), (0,))]}, np.random.default_rng(0))
    lean, settings = package("YX", 3, 3, 16), Settings(provider="cpu")
    session = open_session(lean, settings)
    for side in (256, 512, 1024):
        image = Image(structure((side, side)), "YX")
        share, look_s, restore_s = ratio(
            functools.partial(compare, image, record),
            functools.partial(restore, image, lean, settings, session=session),
            n=9,
        )
        note = f"{1e3 * look_s:.1f} ms / {1e3 * restore_s:.0f} ms"
        name = f"comparison / restoration, {side}x{side}, lean network"
        yield Figure(name, 100 * share, "%", at_most=5, note=note)


def rates(by_kind: Mapping[str, Mapping[str, Sequence[bool]]]) -> Iterator[Figure]:
    """Yield the shares of warnings over all kinds, and what they are of each."""
    for key, (words, promise) in PROMISED.items():
        warned = [each for found in by_kind.values() for each in found[key]]
        note = f"{len(warned)} comparisons, {sum(1 for found in by_kind.values() if found[key])} kinds"
        yield Figure(f"warning on crops {words}", 100 * float(np.mean(warned)), "%", note=note, **promise)  # type: ignore[arg-type]
    for name, found in by_kind.items():
        words = ", ".join(f"{key} {100 * np.mean(each):.0f}/{len(each)}" for key, each in found.items() if each)
        yield Figure(f"  {name}", None, note=f"% warned / crops: {words}")


def warned(kinds: Mapping[str, list[Measurement]]) -> dict[str, dict[str, list[bool]]]:
    """Return by kind and variant whether each crop is warned of."""
    found = {}
    for name in (name for name, fields in kinds.items() if len(fields) >= 4):
        found[name] = {key: [] for key in VARIANTS}
        for key, seen, record in comparisons(name, kinds):
            found[name][key].append(Against(seen, record).distance > 1)
    return found
