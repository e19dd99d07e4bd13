"""How far pixels reach through a graph, measured on the graph itself.

Everything on one side of a step-aligned border is disturbed; whatever changes on the other side has to be thrown away
by a tile that begins at that border. The outputs are compared bit by bit: the same shapes run the same instructions, so
a pixel that no disturbance reaches does not change at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from carezoo.check.finding import run_listed
from carezoo.package.manifest import Manifest, OutputAxis
from carezoo.runtime.session import Session
from carezoo.tiling import AxisRule

AMPLITUDES = (1.0, 30.0, 1000.0)
"""Strengths of the disturbance, in units of the normalized range: weak ones pass maxima, strong ones reach far."""

OTHER_PIXELS = 8
"""Least size of the axes that are not measured."""


def measure_halo(session: Session, manifest: Manifest, rng: np.random.Generator) -> dict[str, int]:
    """Measure the halo that tiles need along each axis that may be tiled, by a graph in exact precision.

    The halo that `manifest` declares only decides how long the tested axis is.

    Returns
    -------
    dict
        Input pixels per side by axis letter; not rounded up to the step. A lower bound in principle: a reach whose
        effect is below one rounding error is not seen.
    """
    return {
        letter: _reach(session, manifest, letter, rng)
        for letter, rule in manifest.input.rules.items()
        if rule.is_tileable
    }


def _reach(session: Session, manifest: Manifest, letter: str, rng: np.random.Generator) -> int:
    rules = manifest.input.rules
    before, after = borders(rules[letter])
    sizes = {other: rule.round_up(OTHER_PIXELS + 2 * cut_off(manifest, other)) for other, rule in rules.items()}
    sizes[letter] = _length(rules[letter])
    image = rng.random(_shape(manifest, sizes), dtype=np.float32)
    axis = manifest.input.axes.index(letter)
    calm, farthest = run_listed(session, manifest, image), 0
    for amplitude in AMPLITUDES:
        noise = (amplitude * rng.standard_normal(image.shape)).astype(np.float32)
        for region in (slice(0, before), slice(after, sizes[letter])):
            key = (slice(None),) * axis + (region,)
            disturbed = image.copy()
            disturbed[key] += noise[key]
            changed = _find_changes(calm, run_listed(session, manifest, disturbed), manifest, letter)
            farthest = max(farthest, *(_behind(places, size, region, before, after) for places, size in changed), 0)
    return farthest


def borders(rule: AxisRule) -> tuple[int, int]:
    """Return where the first undisturbed pixel is, and the first disturbed one behind it; both on the step grid."""
    if rule.step == 0:
        return rule.min_size // 4, rule.min_size - rule.min_size // 4
    length, edge = _length(rule), ceil(max(rule.halo, 4) / rule.step) * rule.step
    return edge, (length - edge) // rule.step * rule.step


def _length(rule: AxisRule) -> int:
    """Return a size with room for twice the declared halo and more between two disturbed ends."""
    if rule.step == 0:
        return rule.min_size
    return rule.round_up(4 * max(rule.halo, 4) + 10 * rule.step)


def cut_off(manifest: Manifest, letter: str) -> int:
    """Return how many input pixels the network cuts off on each side."""
    sizes = [output.sizes[letter] for output in manifest.outputs if letter in output.sizes]
    return max((ceil(Fraction(max(0, -size.offset), 2) / size.factor) for size in sizes), default=0)


def _shape(manifest: Manifest, sizes: Mapping[str, int]) -> tuple[int, ...]:
    known = {"B": 1, "C": len(manifest.input.channels), **sizes}
    return tuple(known[letter] for letter in manifest.input.axes)


def _find_changes(
    calm: list[NDArray[np.generic]], disturbed: list[NDArray[np.generic]], manifest: Manifest, letter: str
) -> list[tuple[NDArray[np.intp], OutputAxis]]:
    """Return, for each output, the positions along an axis at which anything changed."""
    found = []
    for one, other, output in zip(calm, disturbed, manifest.outputs, strict=True):
        if letter in output.sizes:
            axis = output.axes.index(letter)
            differs = (one != other).any(axis=tuple(i for i in range(one.ndim) if i != axis))
            found.append((np.flatnonzero(differs), output.sizes[letter]))
    return found


def _behind(places: NDArray[np.intp], size: OutputAxis, region: slice, before: int, after: int) -> int:
    """Return how many undisturbed input pixels next to `region` have changed results."""
    if not len(places):
        return 0
    cut = Fraction(max(0, -size.offset), 2)
    if region.start == 0:
        return max(0, ceil((int(places[-1]) + 1 + cut) / size.factor - before))
    return max(0, ceil(after - (int(places[0]) + cut) / size.factor))
