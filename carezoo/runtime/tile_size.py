"""How large tiles may be: as large as memory allows, because every border of a tile is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from carezoo import tiling
from carezoo.errors import InputError
from carezoo.runtime import providers
from carezoo.tiling import AxisRule, Plan

MOST_BYTES = 768 << 20
"""Working memory beyond which larger tiles no longer pay: the halo's share is then a few percent."""

UNKNOWN_BYTES_PER_PIXEL = 2048
"""For packages that do not say: more than a U-Net with 64 filters at full resolution needs."""


def budget_bytes() -> int:
    """Return how much memory the network may take for one tile: half of what is free, and not more than pays."""
    return min(MOST_BYTES, providers.free_bytes() // 2)


def automatic(shape: Sequence[int], rules: Sequence[AxisRule], bytes_per_pixel: float, most_bytes: int) -> Plan:
    """Return the plan that computes the fewest pixels among those whose tiles take up to `most_bytes`.

    Where even the smallest tile takes more, the smallest is used.
    """
    most: list[int | None] = [None] * len(shape)
    plan = tiling.plan(shape, most, rules)
    while prod(plan.tile_shape) * bytes_per_pixel > most_bytes:
        smaller = [_smaller_along(axis, shape, most, plan, rules) for axis in range(len(shape))]
        candidates = [candidate for candidate in smaller if candidate is not None]
        if not candidates:
            return plan
        most, plan = min(candidates, key=lambda candidate: prod(candidate[1].tile_shape) * candidate[1].n_tiles)
    return plan


def _smaller_along(
    axis: int, shape: Sequence[int], most: list[int | None], plan: Plan, rules: Sequence[AxisRule]
) -> tuple[list[int | None], Plan] | None:
    """Return the plan with one more tile along `axis`, or None if it cannot be cut further."""
    tile, rule = plan.tile_shape[axis], rules[axis]
    if not rule.is_tileable or rule.step == 0 or tile <= tiling.smallest_tile(rule):
        return None
    trial = [*most[:axis], tile - rule.grid, *most[axis + 1 :]]
    return trial, tiling.plan(shape, trial, rules)


def halve_tiles(plan: Plan, rules: Sequence[AxisRule], shape: Sequence[int]) -> Plan | None:
    """Return a plan with smaller tiles for after a failed allocation, or None if there is none."""
    smaller = automatic(shape, rules, 1.0, prod(plan.tile_shape) // 2)
    return smaller if prod(smaller.tile_shape) < prod(plan.tile_shape) else None


def plan_given(shape: Sequence[int], rules: Sequence[AxisRule], tile: int | Sequence[int], axes: str) -> Plan:
    """Return the plan for one size for all tileable axes, or one for each of `axes`; else `InputError`."""
    sizes = [tile] * len(shape) if isinstance(tile, int) else list(tile)
    if len(sizes) != len(shape):
        raise InputError(f"tile {','.join(map(str, sizes))} has {len(sizes)} sizes; the model works along {axes}")
    return tiling.plan(shape, sizes, rules)


def drop_tiling(rules: Sequence[AxisRule]) -> tuple[AxisRule, ...]:
    """Return the rules of a network that sees the whole image at once, unless it takes one size only."""
    return tuple(replace(rule, is_tileable=rule.is_tileable and rule.step == 0) for rule in rules)
