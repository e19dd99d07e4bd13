"""Fits what `carezoo.domain_check` knows of images in advance: the population (`prior`) and the weights (`odds`).

Only the kinds of `image_kinds.chosen_on` are used. Inputs of a kind's images are computed with a population without
that kind, as those of users will be; rates are those of weights fitted without the kind (`python -m
zoo.tools.fit_domain_check`, with CAREZOO_DATA; prints the tables of both modules).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from carezoo.domain_check.compare import Against
from carezoo.domain_check.features import NAMES
from carezoo.domain_check.odds import ALTERNATIVES, N_INPUTS
from carezoo.domain_check.prior import LEAST_STD
from zoo.tools import image_kinds
from zoo.tools.held_out_crops import VARIANTS, Measurement, comparisons, measurements

Array = NDArray[np.float64]
Rows = dict[str, list[Array]]
"""By variant, the inputs of each comparison."""

_SHOWN = {
    "other": ("other",),
    "half": ("half", "half, new noise"),
    "noise": ("noise",),
    "double": ("double", "double, new noise"),
    "inverted": ("inverted",),
}
"""Variants that each of `ALTERNATIVES` is fitted on."""

_LIKE = 3.0
"""Weight of images of the training kind, that of each alternative being 1. With it 3.7 % of them were warned of."""

_RIDGE = 3e-4
"""Penalty of squared weights, of inputs over their root mean square."""

_DECORRELATED = 0.3
"""Share by which covariances between the middles of kinds, of which there are few, are taken towards zero."""

_FREE = {0, *range(1 + len(NAMES), 1 + len(NAMES) + 4), N_INPUTS - 1}
"""Rows of the weights that may be negative: the constant, the changes, which tell alternatives apart, and the distance
from images of any kind. Farther from the training images must never be more like them."""


def population(kinds: Mapping[str, list[Measurement]]) -> tuple[Array, Array]:
    """Return mean and covariance of the features over images of any kind."""
    measured = [[each.measured.values for each in fields] for fields in kinds.values()]
    within = np.mean([np.cov(np.concatenate(values).T) for values in measured], axis=0)
    middles = np.array([np.mean([each.mean(axis=0) for each in values], axis=0) for values in measured])
    between = np.cov(middles.T)
    between = (1 - _DECORRELATED) * between + _DECORRELATED * np.diag(np.diag(between))
    return middles.mean(axis=0), between + within + np.diag(LEAST_STD**2)


def crossed(kinds: Mapping[str, list[Measurement]], n_parts: int = 4) -> dict[str, Rows]:
    """Return the inputs of all comparisons by kind; part by part, with the population of the kinds outside of it."""
    found: dict[str, Rows] = {}
    for part in parts(list(kinds), n_parts):
        any_kind = population({name: fields for name, fields in kinds.items() if name not in part})
        inside = {name: kinds[name] for name in part}
        for name in part:
            rows = found.setdefault(name, {key: [] for key in VARIANTS})
            for key, seen, record in comparisons(name, inside):
                rows[key].append(Against(seen, record, any_kind).inputs)
    return found


def parts(names: Sequence[str], n: int) -> list[list[str]]:
    """Return the names in `n` parts, at random but always the same."""
    order = np.random.default_rng(0).permutation(len(names))
    return [[names[i] for i in order[start::n]] for start in range(n)]


def weights(kinds: Iterable[Rows]) -> Array:
    """Return weights by maximum likelihood: a row for the constant and each input, a column for each alternative."""
    kinds = list(kinds)
    classes = [(("same",), _LIKE), *((_SHOWN[name], 1.0) for name in ALTERNATIVES)]
    inputs, which, counts = [], [], []
    for i, (keys, weight) in enumerate(classes):
        for key in keys:
            rows = np.array([row for kind in kinds for row in kind[key]])
            inputs.append(rows)
            which.append(np.full(len(rows), i))
            counts.append(np.full(len(rows), weight / len(keys) / len(rows)))
    return _maximum_likelihood(np.concatenate(inputs), np.concatenate(which), np.concatenate(counts))


def _maximum_likelihood(inputs: Array, which: NDArray[np.intp], counts: Array) -> Array:
    scale = np.sqrt(np.mean(inputs**2, axis=0))
    scaled = np.column_stack([np.ones(len(inputs)), inputs / scale])
    shape = (scaled.shape[1], len(ALTERNATIVES))
    counts = counts / counts.sum()
    rows = np.arange(len(which))

    def loss(flat: Array) -> tuple[float, Array]:
        table = flat.reshape(shape)
        odds = np.column_stack([np.zeros(len(scaled)), scaled @ table])
        total = np.logaddexp.reduce(odds, axis=1)
        excess = np.exp(odds - total[:, np.newaxis])
        excess[rows, which] -= 1
        slope = scaled.T @ (excess[:, 1:] * counts[:, np.newaxis])
        slope[1:] += _RIDGE * table[1:]
        return float(counts @ (total - odds[rows, which]) + _RIDGE / 2 * np.sum(table[1:] ** 2)), slope.ravel()

    bounds = [(None if row in _FREE else 0, None) for row in range(shape[0]) for _ in range(shape[1])]
    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", bounds=bounds)
    table: Array = found.x.reshape(shape)
    return table / np.concatenate([[1], scale])[:, np.newaxis]


def left_out(kinds: Mapping[str, Rows], n_parts: int = 5) -> dict[str, dict[str, list[bool]]]:
    """Return by kind and variant what is warned of with weights that were fitted without the kind."""
    warned = {}
    for part in parts(list(kinds), n_parts):
        table = weights(rows for name, rows in kinds.items() if name not in part)
        for name in part:
            warned[name] = {key: list(_is_unlike(table, rows)) for key, rows in kinds[name].items()}
    return warned


def _is_unlike(table: Array, rows: list[Array]) -> list[bool]:
    return [bool(np.any(table[0] + row @ table[1:] > 0)) for row in rows]


def _text(numbers: Array) -> str:
    return " ".join(f"{number:.4g}" for number in numbers)


def main() -> None:
    """Print the tables of `prior` and `odds`, and how well kinds are judged that had no part in the fit."""
    kinds = measurements(image_kinds.chosen_on(Path(os.environ["CAREZOO_DATA"])))
    middle, spread = population(kinds)
    print("_MEAN", _text(middle), "_TOTAL", *(_text(row[: i + 1]) for i, row in enumerate(spread)), sep="\n")
    rows = crossed(kinds)
    print("_WEIGHTS", *map(_text, weights(rows.values())), sep="\n")
    warned = left_out(rows)
    for key in VARIANTS:
        found = [each for kind in warned.values() for each in kind[key]]
        print(f"{key:<20} {100 * np.mean(found):.1f} % of {len(found)} warned of")


if __name__ == "__main__":
    main()
