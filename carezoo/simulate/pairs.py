"""Make simulated pairs. Pair i depends on the seed and on i alone, so that processes can share the work.

`prepare` checks everything that can be checked, and opens what is needed, before any work; `pair` makes one pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.files.atomic import require_space
from carezoo.simulate import anisotropy, psf, rendering
from carezoo.simulate import camera as camera_
from carezoo.simulate import project as projection_pairs
from carezoo.simulate import psf_section as drawn_psf
from carezoo.simulate.camera import Camera, PixelMaps
from carezoo.simulate.clean_images import CleanImage, open_clean_images
from carezoo.simulate.psf import Gaussian, Kernel, Psf
from carezoo.simulate.rendering import Canvas, Emitters, Field
from carezoo.simulate.section import Simulation, Structure
from carezoo.simulate.structures import background as background_
from carezoo.simulate.structures import epithelium as epithelium_
from carezoo.simulate.structures import granules, nuclei, tubules
from carezoo.simulate.structures.epithelium import Epithelium
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.nuclei import Nuclei
from carezoo.simulate.structures.tubules import Tubules


class SimulatedPair(NamedTuple):
    """A pair and what it was made with."""

    source: NDArray[np.generic]
    """YX or ZYX, after C if the images have channels."""
    target: NDArray[np.float32]
    """In the grey levels of the source; YX for task project, more planes than the source for task upsample."""
    parameters: dict[str, float]
    """Every drawn number by name, such as ``camera.photons`` (``camera.photons_k`` of channel k, if there are many)."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A description that was checked, with what it needs."""

    simulation: Simulation
    images: tuple[CleanImage, ...]
    """Empty for simulated structures."""
    measured: Kernel | None
    """The PSF of the sources, where it comes from beads."""
    axial: tuple[Kernel | None, ...]
    """For each of `Simulation.axial_psfs` the average bead, where it comes from beads."""
    maps: PixelMaps | None
    """Measured pixel maps of the camera."""

    @property
    def has_channels(self) -> bool:
        """Whether pairs have a C axis in front."""
        return bool(self.images) and "C" in self.images[0].axes


def prepare(simulation: Simulation, folder: Path, *, maps: PixelMaps | None = None) -> Prepared:
    """Check `simulation` and open what it needs, before any pair is made.

    Parameters
    ----------
    folder
        Where relative paths start.
    maps
        Measured pixel maps of the camera, at least as large as the pairs.

    Raises
    ------
    RecipeError
        If structures do not fit the field, or no file matches.
    DataError
        If a PSF is negative, not finite or larger than the images, a factor leaves fewer than two planes, or an image
        cannot be used.
    MissingExtraError
        If the PSF is to be computed and psfmodels is not installed.
    """
    check_structures(simulation.structures, Field(simulation.field_shape, simulation.pixel_size_um))
    prepared = Prepared(
        simulation,
        open_clean_images(simulation, folder),
        drawn_psf.average_beads(simulation.psf, folder),
        tuple(drawn_psf.average_beads(each, folder) for each in simulation.axial_psfs),
        maps,
    )
    check_psfs_and_factor(prepared)
    return prepared


def pairs(prepared: Prepared, seed: int, indices: Iterable[int] | None = None) -> Iterator[SimulatedPair]:
    """Yield the pairs with numbers `indices`, by default all ``n_pairs`` of the description."""
    for i in range(prepared.simulation.n_pairs) if indices is None else indices:
        yield pair(prepared, seed, i)


def pair(prepared: Prepared, seed: int, i: int) -> SimulatedPair:
    """Make pair number `i` (from 0, without end) of `seed`."""
    rng = np.random.default_rng([seed, i])
    if prepared.images:
        return _from_image(prepared, prepared.images[i % len(prepared.images)], rng)
    return _from_structures(prepared, rng)


def n_bytes(prepared: Prepared) -> int:
    """Return an upper limit of the size of all pairs as uncompressed files."""
    simulation = prepared.simulation
    if not simulation.images:
        n_pixels = simulation.n_pairs * math.prod(simulation.field_shape)
    elif simulation.shape and simulation.task != "project":
        n_pixels = simulation.n_pairs * math.prod(simulation.shape) * max(len(each.ranges) for each in prepared.images)
    else:
        sizes = [math.prod(each.sizes.values()) for each in prepared.images]
        n_pixels = sum(sizes[i % len(sizes)] for i in range(simulation.n_pairs))
    # Up to 4 bytes a pixel for each, source and target.
    return 8 * n_pixels


def check_disk(prepared: Prepared, folder: Path, n_done: int = 0) -> None:
    """Check that all pairs but `n_done` fit on the disk that `folder` is or will be on.

    Raises
    ------
    InputError
        If they do not; both sizes are named.
    """
    n_pairs = prepared.simulation.n_pairs
    folder = folder.resolve()
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    file = folder / "pairs" if there == folder else there / folder.name
    require_space(file, n_bytes(prepared) * (n_pairs - n_done) // n_pairs)


def check_structures(structures: Sequence[Structure], field: Field) -> None:
    """Check that the largest pieces fit an image that shows `field`.

    Raises
    ------
    RecipeError
        If not.
    """
    for structure in structures:
        if isinstance(structure, Epithelium):
            epithelium_.check_fits(structure, field)
            largest_um = structure.cell_diameter_um.high
        elif isinstance(structure, Nuclei):
            largest_um = 2 * structure.radius_um.high * math.sqrt(structure.elongation.high)
            limit = nuclei.MAX_COVERAGE[len(field.shape)]
            if structure.coverage.high > limit:
                raise RecipeError(f"nuclei: coverage {structure.coverage} cannot be packed, at most {limit}")
        elif isinstance(structure, Granules):
            largest_um = 6 * structure.radius_um.high
        else:
            continue
        if largest_um > min(field.extent_um):
            size = " x ".join(f"{length:.3g}" for length in field.extent_um)
            raise RecipeError(
                f"{structure.kind}: pieces of up to {largest_um:.3g} um do not fit the field of {size} um (shape "
                f"{list(field.shape)}); enlarge shape or pixel_size_um, or make the structure smaller"
            )


def check_psfs_and_factor(prepared: Prepared) -> None:
    """Check that PSFs are smaller than the pairs, and that a factor leaves planes.

    Raises
    ------
    DataError
        If not.
    """
    simulation, rng = prepared.simulation, np.random.default_rng(0)
    size_um = simulation.pixel_size_um
    shapes = [tuple(each.sizes[letter] for letter in each.axes.lstrip("C")) for each in prepared.images]
    if simulation.shape or simulation.structures:
        shapes = [simulation.field_shape]
    checked: list[Psf] = []
    if simulation.psf is not None:
        checked.append(drawn_psf.source_psf(drawn_psf.widest(simulation.psf), prepared.measured, size_um, rng)[0])
    checked += [axial_part(prepared, k, rng)[0] for k in range(len(simulation.axial_psfs))]
    for shape in shapes:
        for each in checked:
            psf.check_fits(each, shape, size_um, "psf")
        if simulation.factor is not None:
            along = shape[-1] if simulation.task == "isotropic" else shape[0]
            anisotropy.check_coarse(along, simulation.factor)


def axial_part(prepared: Prepared, k: int, rng: np.random.Generator) -> tuple[Gaussian, dict[str, float]]:
    """Draw what turns a lateral slice (YX) into an axial one, along X, by the `k`-th of the axial PSFs."""
    simulation = prepared.simulation
    part, drawn = drawn_psf.axial_psf(simulation.axial_psfs[k], prepared.axial[k], simulation.axial_width, rng)
    return part, _prefixed(f"axial_psf_{k}", drawn)


def axial_parts(prepared: Prepared, rng: np.random.Generator) -> tuple[list[Gaussian], dict[str, float]]:
    """Draw the part of every axial PSF: one for all channels, or one for each."""
    drawn = [axial_part(prepared, k, rng) for k in range(len(prepared.simulation.axial_psfs))]
    return [part for part, _ in drawn], {name: value for _, numbers in drawn for name, value in numbers.items()}


def structures_spectrum(
    structures: Sequence[Structure], canvas: Canvas, rng: np.random.Generator
) -> tuple[NDArray[np.complex64], dict[str, float]]:
    """Draw all structures in one field and return the spectrum of their light, and the numbers they were drawn with."""
    spectrum: NDArray[np.complex64] = np.zeros((), np.complex64)
    parameters: dict[str, float] = {}
    for structure in structures:
        emitters, drawn = _emit(structure, canvas, rng)
        spectrum = spectrum + rendering.spectrum(emitters, canvas)
        parameters |= _prefixed(structure.kind, drawn)
    return spectrum, parameters


def _from_structures(prepared: Prepared, rng: np.random.Generator) -> SimulatedPair:
    simulation = prepared.simulation
    source_psf, parameters = drawn_psf.source_psf(simulation.psf, prepared.measured, simulation.pixel_size_um, rng)
    target_psf = drawn_psf.target_psf(simulation, source_psf)
    reach = map(max, rendering.reach_um(source_psf), rendering.reach_um(target_psf))
    field = Field(simulation.field_shape, simulation.pixel_size_um)
    canvas = rendering.canvas(field, target_psf.sigma_um, tuple(reach))
    if simulation.task == "project":
        structure, camera = simulation.structures[0], simulation.camera
        assert isinstance(structure, Epithelium)
        assert camera is not None
        both = (source_psf, source_psf if simulation.targets == "source" else target_psf)
        made = projection_pairs.simulate(structure, canvas, both, simulation.background, camera, rng)
        return SimulatedPair(made.source, made.target, parameters | made.parameters)
    spectrum, drawn = structures_spectrum(simulation.structures, canvas, rng)
    parameters |= drawn
    if simulation.task == "isotropic":
        return _as_axial(prepared, rendering.image(spectrum, target_psf, canvas), None, parameters, rng)
    seen = rendering.image(spectrum, source_psf, canvas)
    whole, uniform, drawn = background_.add(simulation.background, seen, spectrum, canvas, rng)
    parameters |= _prefixed("background", drawn)
    clean = whole if simulation.targets == "source" else rendering.image(spectrum, target_psf, canvas) + uniform
    if simulation.task == "upsample":
        assert simulation.factor is not None
        whole = np.maximum(anisotropy.subsample(whole, simulation.factor, axis=0), 0)
        clean = clean[: anisotropy.n_fine(len(whole), simulation.factor)]
        parameters["factor"] = float(simulation.factor)
    if simulation.camera is None:
        return SimulatedPair(whole, clean, parameters)
    # Photons are those of the structure without its background.
    exposure = camera_.expose(seen, simulation.camera, rng, black=0.0)
    source, recorded = camera_.record(camera_.electrons(whole, exposure), exposure, rng, maps=prepared.maps)
    return SimulatedPair(source, camera_.grey_levels(clean, exposure), parameters | _prefixed("camera", recorded))


def _emit(structure: Structure, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    if isinstance(structure, Tubules):
        return tubules.emit(structure, canvas, rng)
    if isinstance(structure, Granules):
        return granules.emit(structure, canvas, rng)
    if isinstance(structure, Nuclei):
        return nuclei.emit(structure, canvas, rng)
    return epithelium_.emit(structure, canvas, rng)


def _from_image(prepared: Prepared, clean: CleanImage, rng: np.random.Generator) -> SimulatedPair:
    simulation = prepared.simulation
    pixels, height = clean.cut(simulation, rng)
    if simulation.task == "isotropic":
        # Before X is degraded, a lateral slice may be turned.
        turns = int(rng.integers(4)) if pixels.shape[-1] == pixels.shape[-2] else 0
        return _as_axial(prepared, np.rot90(pixels, turns, axes=(-2, -1)), clean.ranges, {}, rng)
    if simulation.task == "project":
        assert height is not None
        assert simulation.camera is not None
        made = projection_pairs.from_stack(pixels, height, simulation.camera, rng, black_white=clean.ranges[0])
        return SimulatedPair(made.source, made.target, _prefixed("camera", made.parameters))
    channels = pixels if "C" in clean.axes else pixels[None]
    made_of = [
        _degraded(prepared, channel, black_white, rng)
        for channel, black_white in zip(channels, clean.ranges, strict=True)
    ]
    if "C" not in clean.axes:
        return made_of[0]
    return SimulatedPair(
        np.stack([each.source for each in made_of]),
        np.stack([each.target for each in made_of]),
        {f"{name}_{k}": value for k, each in enumerate(made_of) for name, value in each.parameters.items()},
    )


def _degraded(
    prepared: Prepared, channel: NDArray[np.generic], black_white: tuple[float, float], rng: np.random.Generator
) -> SimulatedPair:
    """Return one channel of a clean image (YX or ZYX), degraded."""
    simulation = prepared.simulation
    whole: NDArray[np.generic] = channel
    parameters: dict[str, float] = {}
    if simulation.psf is not None:
        size_um = simulation.pixel_size_um
        drawn, parameters = drawn_psf.source_psf(simulation.psf, prepared.measured, size_um, rng)
        whole = psf.blur(channel, drawn, size_um)
    target: NDArray[np.generic] = channel
    if simulation.task == "upsample":
        assert simulation.factor is not None
        whole = anisotropy.subsample(whole.astype(np.float32), simulation.factor, axis=0)
        target = channel[: anisotropy.n_fine(len(whole), simulation.factor)]
        parameters["factor"] = float(simulation.factor)
    camera: Camera | None = simulation.camera
    if camera is None:
        return SimulatedPair(whole, target.astype(np.float32), parameters)
    exposure = camera_.expose(channel, camera, rng, black=black_white[0], white=black_white[1])
    source, recorded = camera_.record(camera_.electrons(whole, exposure), exposure, rng, maps=prepared.maps)
    return SimulatedPair(source, camera_.grey_levels(target, exposure), parameters | _prefixed("camera", recorded))


def _as_axial(
    prepared: Prepared,
    clean: NDArray[np.generic],
    ranges: tuple[tuple[float, float], ...] | None,
    parameters: dict[str, float],
    rng: np.random.Generator,
) -> SimulatedPair:
    simulation = prepared.simulation
    assert simulation.factor is not None
    parts, drawn = axial_parts(prepared, rng)
    size_um = (simulation.pixel_size_um[0], simulation.pixel_size_um[1])
    made = anisotropy.degrade_laterally(clean, simulation.factor, parts, size_um, simulation.camera, rng, ranges)
    parameters = parameters | drawn | _prefixed("camera", made.parameters) | {"factor": float(made.factor)}
    return SimulatedPair(made.source, made.target, parameters)


def _prefixed(prefix: str, numbers: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}.{name}": value for name, value in numbers.items()}
