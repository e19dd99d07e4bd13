"""What people did before networks: classical methods on the same images, each at its best.

A baseline is worth beating only if it was tuned. `tune` therefore picks the parameters of a method that give the lowest
NRMSE against the targets themselves, on crops of the images that are scored: an advantage no user has, since users have
no targets. A model that wins against that wins.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError, MissingExtraError
from carezoo.evaluate import classical
from carezoo.evaluate.classical import Floats
from carezoo.metrics import score
from carezoo.pictures import display

Parameters = Mapping[str, float]

Change = Literal["none", "projection", "planes"]
"""What a task does to the shape: nothing, ZYX to YX, or more planes along Z."""

TUNING_SIDE = {2: 512, 3: 192}
"""Largest side in Y and X of the images that parameters are tuned on, by number of axes of the source."""

TUNING_SIDE_SLOW = {2: 192, 3: 96}
"""The same for methods that take long."""

TUNING_PLANES, TUNING_PLANES_SLOW = 32, 16
"""Most planes of those images, where the method keeps their number."""

N_EXAMPLES = 3
"""Crops that parameters are tuned on, of different images where there are as many."""


@dataclass(frozen=True, eq=False)
class Given:
    """What is known beside the image."""

    psf: Floats | None = None
    """Point spread function YX or ZYX, for Richardson-Lucy; its brightest pixel is its centre."""
    factor: float | None = None
    """Planes of the target for one of the source, where their number changes."""


Apply = Callable[[Floats, Parameters, Given], Floats]


@dataclass(frozen=True, eq=False)
class Method:
    """A classical method, with the parameters that are tried."""

    name: str
    title: str
    """What tables and pictures call it."""
    change: Change
    apply: Apply
    """Takes the source (YX or ZYX, float32), parameters, and what else is given; returns the shape of the target."""
    tried: Mapping[str, Sequence[float]]
    """Ascending values of each parameter."""
    tried_3d: Mapping[str, Sequence[float]] | None = None
    """The same for volumes, if they need others."""
    is_slow: bool = False
    """Whether it is tuned on smaller crops."""
    needs: str | None = None
    """Distribution that must be installed, beyond those of the extra `evaluate`."""

    def grid(self, n_axes: int) -> Mapping[str, Sequence[float]]:
        """Return the values to try on images with 2 or 3 axes."""
        return self.tried_3d if n_axes == 3 and self.tried_3d is not None else self.tried


@dataclass(frozen=True, eq=False)
class Baseline:
    """A method with its parameters."""

    method: Method
    parameters: Parameters
    given: Given

    def __call__(self, source: NDArray[Any]) -> Floats:
        """Return `source` (YX or ZYX, one channel) as the method restores it: float32, in its intensity units."""
        return self.method.apply(np.asarray(source, np.float32), self.parameters, self.given)


_SIGMAS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
_SIGMAS_3D = (0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 2.8, 4.0)
_STRENGTHS = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
_HEIGHTS: Mapping[str, Sequence[float]] = {"sigma": (1.0, 2.0, 4.0), "smooth": (3, 7, 13), "reach": (0, 1, 2)}

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gaussian",
            "Gaussian",
            "none",
            lambda image, p, _: classical.gaussian(image, p["sigma"], p.get("sigma_z", 0.0)),
            {"sigma": _SIGMAS},
            {"sigma": _SIGMAS_3D, "sigma_z": (0.0, 0.5, 1.0, 2.0)},
        ),
        Method(
            "median",
            "Median",
            "none",
            lambda image, p, _: classical.median(image, int(p["size"]), int(p.get("size_z", 1))),
            {"size": (3, 5, 7, 9)},
            {"size": (3, 5), "size_z": (1, 3)},
        ),
        Method(
            "nlm",
            "Non-local means",
            "none",
            lambda image, p, _: classical.nlm(image, p["strength"], int(p["patch"]), is_root=bool(p["root"])),
            {"strength": _STRENGTHS, "patch": (3, 5, 7), "root": (0, 1)},
            is_slow=True,
        ),
        Method(
            "bm3d",
            "BM3D",
            "none",
            lambda image, p, _: classical.bm3d(image, p["strength"], is_root=bool(p["root"])),
            {"strength": (0.7, 1.0, 1.4), "root": (0, 1)},
            is_slow=True,
            needs="bm3d",
        ),
        Method(
            "richardson-lucy",
            "Richardson-Lucy",
            "none",
            lambda image, p, given: classical.richardson_lucy(image, _psf(given), int(p["iterations"])),
            {"iterations": (1, 2, 3, 5, 8, 12, 20, 35, 60)},
            is_slow=True,
        ),
        Method("max-projection", "Maximum projection", "projection", lambda image, _, __: image.max(axis=0), {}),
        Method("height-map", "Height map", "projection", lambda image, p, _: _project_height_map(image, p), _HEIGHTS),
        Method(
            "height-map-nlm",
            "Height map, then non-local means",
            "projection",
            lambda image, p, _: classical.nlm(_project_height_map(image, p), p["strength"], 5, is_root=False),
            {**_HEIGHTS, "strength": (0.3, 0.6, 1.0, 1.7)},
            is_slow=True,
        ),
        Method("bicubic-z", "Bicubic along Z", "planes", lambda image, _, given: _resample(image, given, order=3), {}),
        Method(
            "bicubic-z-richardson-lucy",
            "Bicubic along Z, then Richardson-Lucy",
            "planes",
            lambda image, p, given: classical.richardson_lucy(
                _resample(image, given, order=3), _psf(given), int(p["iterations"])
            ),
            {"iterations": (1, 2, 4, 8, 16, 32)},
            is_slow=True,
        ),
    )
}
"""All methods by name."""

_NEED_PSF = ("richardson-lucy", "bicubic-z-richardson-lucy")


def change_of(source: tuple[int, ...], target: tuple[int, ...]) -> Change:
    """Return what happens to the shape between a source (YX or ZYX) and its target.

    Raises
    ------
    InputError
        If no task of carezoo makes one of the other.
    """
    if source == target:
        return "none"
    if len(source) == 3 and source[1:] == target[-2:]:
        return "projection" if len(target) == 2 else "planes"
    raise InputError(
        f"expected a target of the shape of its source {source}, with other planes along Z, or projected along Z; "
        f"found {target}. Crop or resample it"
    )


def choose(names: Iterable[str] | None, change: Change, given: Given) -> tuple[Method, ...]:
    """Return the methods of these names, or all that can run.

    Parameters
    ----------
    names
        Out of `METHODS`; None takes every method that fits `change`, has its PSF, and needs no package beyond the extra
        `evaluate` (BM3D takes half a minute for an image of 512 x 512, and its licence forbids commercial use).

    Raises
    ------
    InputError
        If a method is not known, does not fit the task, or lacks its PSF.
    MissingExtraError
        If a method that was asked for is not installed.
    """
    if names is None:
        fitting = [method for method in METHODS.values() if method.change == change]
        return tuple(m for m in fitting if m.needs is None and _why_not(m, given) is None)
    chosen = []
    for name in dict.fromkeys(names):
        if name not in METHODS:
            raise InputError(f"baseline {name!r} is not known; choose from {', '.join(METHODS)}")
        method = METHODS[name]
        if method.change != change:
            others = ", ".join(other.name for other in METHODS.values() if other.change == change)
            raise InputError(f"baseline {name} does not make images of the target's shape; these do: {others}")
        if (error := _why_not(method, given)) is not None:
            raise error
        chosen.append(method)
    return tuple(chosen)


def tune(method: Method, examples: Sequence[tuple[NDArray[Any], NDArray[Any]]], given: Given | None = None) -> Baseline:
    """Return the method with the parameters of the lowest mean NRMSE against the targets; see `minimize`.

    Parameters
    ----------
    examples
        Source and target, one channel each: YX or ZYX, any units. Large ones are cropped to the region with the most
        structure.
    given
        PSF and Z factor, where the method needs them.

    Raises
    ------
    InputError
        If there are no examples, or a target is constant.
    """
    if not examples:
        raise InputError("a baseline is tuned on at least one source with its target; found none")
    given = given or Given()
    cropped = []
    for source, target in examples[:N_EXAMPLES]:
        in_source, in_target = crop_for_tuning(source, target, method)
        cropped.append((np.asarray(source[in_source], np.float32), target[in_target]))

    def error(baseline: Baseline) -> float:
        return math.fsum(score(baseline(source), target, with_ssim=False).nrmse for source, target in cropped)

    return minimize(method, cropped[0][0].ndim, error, given)


def minimize(method: Method, n_axes: int, error: Callable[[Baseline], float], given: Given) -> Baseline:
    """Return the method with the parameters of the lowest error, for images with `n_axes` axes.

    One parameter after the other is set to its best value, until none changes any more.
    """
    grid = method.grid(n_axes)

    @functools.cache
    def judge(values: tuple[float, ...]) -> float:
        return error(Baseline(method, dict(zip(grid, values, strict=True)), given))

    best: tuple[float, ...] = tuple(tried[len(tried) // 2] for tried in grid.values())
    before: tuple[float, ...] | None = None
    while best != before:
        before = best
        for i, tried in enumerate(grid.values()):
            if len(tried) > 1:
                best = min(((*best[:i], value, *best[i + 1 :]) for value in tried), key=judge)
    return Baseline(method, dict(zip(grid, best, strict=True)), given)


def prepare_input(source: NDArray[Any], target_shape: tuple[int, ...], given: Given) -> NDArray[Any]:
    """Return the source as it is scored against its target: projected by its maximum, or linear between planes.

    See `INPUT_TITLES` for how tables call that.
    """
    change = change_of(source.shape, target_shape)
    if change == "none":
        return source
    if change == "projection":
        return np.asarray(source.max(axis=0))
    return classical.resample_z(np.asarray(source, np.float32), target_shape[0], given.factor, order=1)


INPUT_TITLES: Mapping[Change, str] = {
    "none": "Input",
    "projection": "Input, maximum projection",
    "planes": "Input, linear along Z",
}
"""What tables call the source as `prepare_input` returns it."""


def crop_for_tuning(
    source: NDArray[Any], target: NDArray[Any], method: Method
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return which part of source and of target `method` is tuned on."""
    side = (TUNING_SIDE_SLOW if method.is_slow else TUNING_SIDE)[source.ndim]
    plane = display.to_plane(target, "target")[0]
    rows, columns = display.informative_region(plane, (min(side, plane.shape[0]), min(side, plane.shape[1])))
    planes = slice(None)
    if method.change == "none" and source.ndim == 3:
        n = TUNING_PLANES_SLOW if method.is_slow else TUNING_PLANES
        start = max(0, (len(source) - n) // 2)
        planes = slice(start, start + n)
    in_source, in_target = ((rows, columns) if one.ndim == 2 else (planes, rows, columns) for one in (source, target))
    return in_source, in_target


def _why_not(method: Method, given: Given) -> InputError | MissingExtraError | None:
    """Return what keeps a method from running, if anything does."""
    if method.name in _NEED_PSF and given.psf is None:
        return InputError(f"baseline {method.name} needs the point spread function of the microscope: give --psf FILE")
    if method.needs is not None and find_spec(method.needs) is None:
        return MissingExtraError(
            f"{method.needs} is needed for the baseline {method.name} and is not installed. Run: pip install "
            f"{method.needs}"
        )
    return None


def _psf(given: Given) -> Floats:
    assert given.psf is not None  # `choose` has asked for it
    return given.psf


def _project_height_map(image: Floats, p: Parameters) -> Floats:
    return classical.project_height_map(image, p["sigma"], int(p["smooth"]), int(p["reach"]))


def _resample(image: Floats, given: Given, order: int) -> Floats:
    assert given.factor is not None  # known wherever planes are made
    return classical.resample_z(image, max(1, math.floor(len(image) * given.factor + 1e-9)), given.factor, order=order)
