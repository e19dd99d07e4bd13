"""Checks that a restored image does not depend on its tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from carezoo import intensity, tiling
from carezoo.check.finding import Finding, Float, Subject, format_sizes
from carezoo.check.halo import measure_halo
from carezoo.runtime.predict import PackagedNetwork
from carezoo.tiling import AxisRule, Plan, smallest_tile

TILED_TOLERANCE = 1e-5
"""Largest difference between tiled and whole, in units of the normalized range."""


def check_tiles(work: Subject) -> list[Finding]:
    """Restore images in tiles and whole, and compare."""
    rules = work.rules()
    if not any(rule.is_tileable and rule.step for rule in rules.values()):
        return [Finding("tiles", True, "no axis is both free in size and tileable")]
    worst, tried = 0.0, []
    network = PackagedNetwork(work.session, work.manifest)
    for tiled in _tilings(rules):
        sizes = {
            letter: _tiling_size(rule, work, len(tiled) if letter in tiled else 0) for letter, rule in rules.items()
        }
        if math.prod(sizes.values()) > work.max_pixels and len(tiled) > 1:
            continue
        image = work.image(sizes)
        shape = tuple(sizes.values())
        tile = [smallest_tile(rule) if letter in tiled else None for letter, rule in rules.items()]
        whole = _assemble_tiles(network, image, tiling.plan(shape, [None] * len(shape), list(rules.values())))
        pieces = _assemble_tiles(network, image, tiling.plan(shape, tile, list(rules.values())))
        for name, expected in whole.items():
            span = max(1.0, float(np.ptp(expected)))
            worst = max(worst, float(np.abs(pieces[name] - expected).max()) / span)
        tried.append(format_sizes(sizes))
    passed = worst <= TILED_TOLERANCE
    detail = f"tiled differs from whole by at most {worst:.1e} of the range (sizes {', '.join(tried)})"
    return [Finding("tiles", passed, detail, work.severity)]


def _tilings(rules: Mapping[str, AxisRule]) -> Iterator[str]:
    """Yield the axes to cut: each alone, then all together."""
    able = [letter for letter, rule in rules.items() if rule.is_tileable and rule.step]
    yield from able
    if len(able) > 1:
        yield "".join(able)


def _tiling_size(rule: AxisRule, work: Subject, n_tiled_axes: int) -> int:
    """Return a size that is not a multiple of the step: some tiles of the smallest kind, or just enough for one.

    Two to four tiles on one axis alone, two on each of several axes.
    """
    if not rule.step:
        return rule.min_size
    if not n_tiled_axes:
        return max(1, rule.min_size - 2 * rule.margin) + rule.step
    n_steps = 3 if n_tiled_axes == 1 else 1
    return smallest_tile(rule) + int(work.rng.integers(1, n_steps * rule.step + 1))


def _assemble_tiles(network: PackagedNetwork, image: Float, plan: Plan) -> dict[str, Float]:
    """Return every result of an image, put together from its tiles; nothing is normalized."""
    spatial = network.manifest.spatial_axes
    nothing = intensity.measure((), [lambda: ()] * len(image))
    whole: dict[str, Float] = {}
    for pieces in network.pieces(lambda region: image[(slice(None), *region)], plan, nothing):
        for piece in pieces:
            letters = [letter for letter in spatial if letter in piece.region]
            if piece.result.name not in whole:
                output = network.manifest.tensor(piece.result)
                sizes = dict(zip(spatial, image.shape[1:], strict=True))
                shape = [output.restored_size(letter, sizes[letter]) for letter in letters]
                whole[piece.result.name] = np.full((len(piece.values), *shape), np.nan, np.float32)
            whole[piece.result.name][(slice(None), *(piece.region[letter] for letter in letters))] = piece.values
    return whole


def check_halo(work: Subject) -> list[Finding]:
    """Measure how far pixels reach, and compare with what the manifest declares."""
    findings = []
    rules = work.rules()
    for letter, measured in measure_halo(work.session, work.manifest, work.rng).items():
        declared = rules[letter].halo
        detail = f"pixels reach {measured}, the manifest declares {declared}"
        findings.append(Finding(f"halo {letter.lower()}", measured <= declared, detail, work.severity))
    return findings
