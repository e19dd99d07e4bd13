"""From what a recipe says about a PSF to the PSF of one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from carezoo import axes as axes_
from carezoo.errors import RecipeError
from carezoo.files import open_image
from carezoo.schema.span import Span, draw_spans, require_positive
from carezoo.simulate import psf
from carezoo.simulate.psf import Gaussian, Kernel, Optics, Psf


@dataclass(frozen=True, kw_only=True)
class GaussianPsf:
    """A Gaussian, of another width for each image."""

    kind: ClassVar[str] = "gaussian"

    sigma_um: Span
    """Standard deviation along Y and X (0.21 wavelength / NA for widefield)."""
    sigma_z_um: Span | None = None
    """Standard deviation along Z; needed for volumes."""

    def __post_init__(self) -> None:
        require_positive(self, "sigma_um", *([] if self.sigma_z_um is None else ["sigma_z_um"]))


@dataclass(frozen=True, kw_only=True)
class OpticsPsf:
    """The widefield PSF computed from the optics (psfmodels), other numbers for each image."""

    kind: ClassVar[str] = "optics"

    na: Span
    """Numerical aperture."""
    wavelength_um: Span
    """Emission wavelength."""
    index_immersion: float = 1.515
    """Refractive index of the immersion medium."""
    index_sample: Span = Span(1.47, 1.47)
    """Refractive index around the structure."""
    depth_um: Span = Span(0.0, 0.0)
    """Depth of the structure below the coverslip."""
    model: Literal["vectorial", "gibson-lanni"] = "vectorial"
    """Vectorial (Aguet et al. 2009) or scalar (Gibson and Lanni 1992)."""


@dataclass(frozen=True, kw_only=True)
class BeadsPsf:
    """The PSF measured from a stack of beads."""

    kind: ClassVar[str] = "beads"

    file: str
    """Image file, ZYX (or YX); relative to the recipe's data folder."""
    half_size_um: tuple[float, ...]
    """Half the length of the PSF along ZYX (or YX)."""
    pixel_size_um: tuple[float, ...] = ()
    """Pixel size along ZYX (or YX); empty: from the file."""


@dataclass(frozen=True, kw_only=True)
class AxialWidths:
    """Widths of an anisotropic PSF, known or guessed."""

    kind: ClassVar[str] = "widths"

    axial_um: Span
    """Standard deviation along Z."""
    lateral_um: Span
    """Standard deviation along Y and X."""


@dataclass(frozen=True, kw_only=True)
class AxialOptics:
    """Widths of an anisotropic PSF from the optics."""

    kind: ClassVar[str] = "optics"

    na: float
    """Numerical aperture."""
    wavelength_um: float
    """Emission wavelength; excitation for a confocal microscope."""
    index_immersion: float = 1.515
    """Refractive index of the immersion medium."""
    is_confocal: bool = False
    """Confocal microscope with a nearly closed pinhole."""


SourcePsf = GaussianPsf | OpticsPsf | BeadsPsf
AxialPsf = AxialWidths | AxialOptics | BeadsPsf


def read_beads(described: SourcePsf | AxialPsf | None, folder: Path) -> Kernel | None:
    """Return the PSF of the bead stack that `described` names; None if it names none.

    An unknown pixel size is a `RecipeError`, a stack without an isolated bead a `DataError`.
    """
    if not isinstance(described, BeadsPsf):
        return None
    image = open_image(folder / described.file)
    letters = "ZYX"[-len(described.half_size_um) :]
    size_um = described.pixel_size_um or tuple(image.pixel_size_um.get(letter, math.nan) for letter in letters)
    if len(size_um) != len(letters) or not all(size > 0 for size in size_um):
        raise RecipeError(f"beads: {described.file} has no pixel size along {letters}; give pixel_size_um")
    stack = axes_.move(image.array(), image.axes, letters)
    return psf.average_bead(stack, size_um, half_size_um=described.half_size_um)[0]


def draw_source_psf(
    described: SourcePsf | None,
    measured: Kernel | None,
    pixel_size_um: tuple[float, ...],
    rng: np.random.Generator,
) -> tuple[Psf, dict[str, float]]:
    """Draw the PSF of one source, with the axes of `pixel_size_um`, and return it with its numbers (``psf.``...).

    `measured` is the average bead, where `described` names a bead stack. No description: no blur.
    """
    if described is None:
        return Gaussian((0.0,) * len(pixel_size_um)), {}
    if isinstance(described, GaussianPsf):
        lateral = described.sigma_um.draw(rng)
        if described.sigma_z_um is None or len(pixel_size_um) == 2:
            return Gaussian((lateral, lateral)), {"psf.sigma_um": lateral}
        axial = described.sigma_z_um.draw(rng)
        return Gaussian((axial, lateral, lateral)), {"psf.sigma_um": lateral, "psf.sigma_z_um": axial}
    if isinstance(described, OpticsPsf):
        return _compute_psf(described, pixel_size_um, rng)
    assert measured is not None
    return measured, {}


def _compute_psf(
    described: OpticsPsf, pixel_size_um: tuple[float, ...], rng: np.random.Generator
) -> tuple[Kernel, dict[str, float]]:
    drawn = draw_spans(described, rng)
    optics = Optics(index_immersion=described.index_immersion, model=described.model, **drawn)
    axial, lateral = psf.estimate_sigma_um(optics)
    # Wide enough for the first rings; the light beyond is a haze over the whole field.
    extent_um = (10 * axial, 20 * lateral, 20 * lateral)[-len(pixel_size_um) :]
    computed = psf.compute_psf(optics, pixel_size_um, extent_um=extent_um)
    return computed, {f"psf.{name}": value for name, value in drawn.items()}


def take_widest(described: SourcePsf) -> SourcePsf:
    """Return `described` with its widest PSF only, for checks."""
    if isinstance(described, GaussianPsf):
        axial = described.sigma_z_um
        return GaussianPsf(
            sigma_um=Span(described.sigma_um.high, described.sigma_um.high),
            sigma_z_um=None if axial is None else Span(axial.high, axial.high),
        )
    if isinstance(described, OpticsPsf):
        return OpticsPsf(
            na=Span(described.na.low, described.na.low),
            wavelength_um=Span(described.wavelength_um.high, described.wavelength_um.high),
            index_immersion=described.index_immersion,
            model=described.model,
        )
    return described


def draw_axial_psf(
    described: AxialPsf, measured: Kernel | None, width: Literal["physical", "csbdeep"], rng: np.random.Generator
) -> tuple[Gaussian, dict[str, float]]:
    """Draw what turns a lateral slice into an axial one (`psf.take_anisotropic_part`), and the widths it comes from."""
    if isinstance(described, AxialWidths):
        axial, lateral = described.axial_um.draw(rng), described.lateral_um.draw(rng)
    elif isinstance(described, AxialOptics):
        optics = Optics(
            na=described.na, wavelength_um=described.wavelength_um, index_immersion=described.index_immersion
        )
        axial, lateral = psf.estimate_sigma_um(optics, is_confocal=described.is_confocal)
    else:
        assert measured is not None
        axial, *lateral_yx = psf.measure_sigma_um(measured)
        lateral = float(np.mean(lateral_yx))
    part = psf.take_anisotropic_part(axial, lateral, width=width)
    return part, {"axial_um": axial, "lateral_um": lateral}
