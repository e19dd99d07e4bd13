"""Task isotropic: lateral slices made to look axial, and whole stacks to score a model as it is used.

A model learns isotropic restoration from lateral slices, but takes stacks. Simulated structures are rendered in three
dimensions. A stack of clean images is turned: its X, which is sharp, becomes Z and is degraded; its Z becomes X. What
was blurred along Z to begin with is then blurred along X in source and target alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError, RecipeError
from carezoo.simulate import rendering, sampling
from carezoo.simulate.camera import Camera, record_pair
from carezoo.simulate.clean_images import CleanImage
from carezoo.simulate.psf import Gaussian, Kernel, Psf, blur
from carezoo.simulate.psf_section import AxialPsf, draw_axial_psf, read_beads
from carezoo.simulate.rendering import FieldOfView
from carezoo.simulate.section import PreparedSimulation, SimulatedPair, Simulation, prefix_names
from carezoo.simulate.structures.drawing import check_structures, draw_structures
from carezoo.tasks import ISOTROPIC

MOST_PIXELS = 128
"""Edge of a simulated stack, unless the slices are smaller."""


@dataclass(frozen=True, kw_only=True)
class Isotropic(Simulation):
    """Lateral slices made to look axial along X, and the slices."""

    task: ClassVar[str] = ISOTROPIC.name
    spatial_choices: ClassVar[tuple[str, ...]] = ("YX",)

    factor: Fraction = field(metadata={"example": "4"})
    """Distance of the planes over the lateral pixel size; any number of 1 or more, such as 10.2 or 51/5."""
    axial_psfs: tuple[AxialPsf, ...] = field(metadata={"example": "{kind: optics, na: 1.2, wavelength_um: 0.52}"})
    """The anisotropic PSF, one for all channels or one for each."""
    axial_width: Literal["physical", "csbdeep"] = "physical"
    """How a lateral slice is blurred. physical: sqrt(axial^2 - lateral^2) along the degraded axis. csbdeep: as
    CSBDeep's example does, (axial - lateral) along it and lateral along the other."""

    def __post_init__(self) -> None:
        sampling.check_factor(self.factor)
        super().__post_init__()
        if not self.axial_psfs:
            raise RecipeError("axial_psfs: task isotropic needs at least one, such as {kind: optics, na: 1.2, ...}")

    @property
    def plane_factor(self) -> Fraction:
        """Distance of the planes of a stack over that of the restored planes."""
        return self.factor

    @property
    def stack_field(self) -> FieldOfView:
        """The cube that simulated stacks show."""
        edge = min(*self.field_shape, MOST_PIXELS)
        return FieldOfView((edge,) * 3, (self.pixel_size_um[-1],) * 3)

    @property
    def clean_sigma_um(self) -> float:
        """Gaussian width of simulated structures before they are degraded."""
        return self.target_sigma_um or 0.6 * self.pixel_size_um[-1]

    def widest_psfs(self, prepared: PreparedSimulation) -> Sequence[Psf]:
        """Return one draw of every axial PSF."""
        return self._draw_parts(prepared, np.random.default_rng(0))[0]

    def check(self, prepared: PreparedSimulation) -> None:
        """Check that PSFs fit the slices, and that at least two samples remain along X."""
        super().check(prepared)
        for shape in self.pair_shapes(prepared):
            sampling.check_coarse(shape[-1], self.factor)

    def check_whole(self, prepared: PreparedSimulation) -> None:
        """Raise `RecipeError` if an image is not a stack, or the structures do not fit the cube."""
        super().check_whole(prepared)
        for image in prepared.images:
            if image.sizes.get("Z", 1) < 2:
                raise RecipeError(
                    f"{image.path.name} is not a stack, and models for task isotropic are scored on stacks; set "
                    "n_report: 0 and let another set report"
                )
        check_structures(self.structures, self.stack_field)

    def read_beads(self, folder: Path) -> tuple[Kernel | None, ...]:
        """Return the average bead for every axial PSF."""
        return tuple(read_beads(each, folder) for each in self.axial_psfs)

    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a slice that looks axial along X, and the slice."""
        parameters: dict[str, float] = {}
        if clean is None:
            psf = Gaussian((self.clean_sigma_um,) * 2)
            canvas = rendering.plan_canvas(self.field, psf.sigma_um, rendering.estimate_reach_um(psf))
            spectrum, parameters = draw_structures(self.structures, canvas, rng)
            pixels: NDArray[np.generic] = rendering.render(spectrum, psf, canvas)
        else:
            pixels, _ = clean.cut(self.piece, rng)
            # Before X is degraded, a lateral slice may be turned.
            turns = int(rng.integers(4)) if pixels.shape[-1] == pixels.shape[-2] else 0
            pixels = np.rot90(pixels, turns, axes=(-2, -1))
        parts, drawn = self._draw_parts(prepared, rng)
        made = degrade_laterally(
            pixels, self.factor, parts, self._lateral_um, self.camera, rng, None if clean is None else clean.ranges
        )
        parameters |= drawn | prefix_names("camera", made.parameters) | {"factor": float(self.factor)}
        return SimulatedPair(made.source, made.target, parameters)

    def make_whole(
        self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator
    ) -> SimulatedPair:
        """Make a stack with few planes that is blurred along Z, and the same with cubic voxels; images have Z."""
        return self._render_stack(prepared, rng) if clean is None else self._turn_stack(prepared, clean, rng)

    @property
    def _lateral_um(self) -> tuple[float, float]:
        return self.pixel_size_um[0], self.pixel_size_um[1]

    def _draw_part(
        self, prepared: PreparedSimulation, k: int, rng: np.random.Generator
    ) -> tuple[Gaussian, dict[str, float]]:
        """Draw what turns a lateral slice (YX) into an axial one, along X, by the `k`-th of the axial PSFs."""
        part, drawn = draw_axial_psf(self.axial_psfs[k], prepared.beads[k], self.axial_width, rng)
        return part, prefix_names(f"axial_psf_{k}", drawn)

    def _draw_parts(
        self, prepared: PreparedSimulation, rng: np.random.Generator
    ) -> tuple[list[Gaussian], dict[str, float]]:
        """Draw the part of every axial PSF."""
        drawn = [self._draw_part(prepared, k, rng) for k in range(len(self.axial_psfs))]
        return [part for part, _ in drawn], {name: value for _, numbers in drawn for name, value in numbers.items()}

    def _render_stack(self, prepared: PreparedSimulation, rng: np.random.Generator) -> SimulatedPair:
        part, parameters = self._draw_part(prepared, 0, rng)
        isotropic = Gaussian((self.clean_sigma_um,) * 3)
        other, degraded = (math.hypot(self.clean_sigma_um, sigma) for sigma in part.sigma_um)
        anisotropic = Gaussian((degraded, other, other))
        canvas = rendering.plan_canvas(self.stack_field, isotropic.sigma_um, rendering.estimate_reach_um(anisotropic))
        spectrum, drawn = draw_structures(self.structures, canvas, rng)
        clean = rendering.render(spectrum, isotropic, canvas)
        seen = rendering.render(spectrum, anisotropic, canvas)
        return self._record_stack(prepared, [(seen, clean)], [(None, None)], parameters | drawn, rng)

    def _turn_stack(self, prepared: PreparedSimulation, clean: CleanImage, rng: np.random.Generator) -> SimulatedPair:
        parts, parameters = self._draw_parts(prepared, rng)
        stack = clean.whole("CZYX").astype(np.float32)
        known = clean.image.pixel_size_um
        spacing = Fraction(known["Z"] / known["X"]).limit_denominator(20) if {"Z", "X"} <= set(known) else Fraction(1)
        channels = []
        for k, channel in enumerate(stack):
            part = parts[k] if len(parts) > 1 else parts[0]
            blurred = np.stack([blur(plane, part, self._lateral_um) for plane in channel])
            channels.append((_turn_to_depth(blurred, spacing), _turn_to_depth(channel, spacing)))
        return self._record_stack(prepared, channels, clean.ranges, parameters, rng)

    def _record_stack(
        self,
        prepared: PreparedSimulation,
        channels: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
        ranges: Sequence[tuple[float | None, float | None]],
        parameters: dict[str, float],
        rng: np.random.Generator,
    ) -> SimulatedPair:
        """Return what the camera records of every factor-th plane, and the clean stack, for each channel."""
        sources, targets = [], []
        for k, ((seen, clean), black_white) in enumerate(zip(channels, ranges, strict=True)):
            planes = sampling.subsample(seen, self.factor, axis=0)
            black, white = black_white
            source, target, drawn = record_pair(planes, clean, self.camera, rng, like=clean, black=black, white=white)
            sources.append(source.astype(np.float32))
            targets.append(target[: sampling.count_fine(len(source), self.factor)])
            suffix = f"_{k}" if len(channels) > 1 else ""
            parameters = parameters | {f"camera.{name}{suffix}": value for name, value in drawn.items()}
        source, target = (np.stack(each) if prepared.has_channels else each[0] for each in (sources, targets))
        return SimulatedPair(source, target, parameters | {"factor": float(self.factor)})


def _turn_to_depth(stack: NDArray[np.float32], spacing: Fraction) -> NDArray[np.float32]:
    """Return a stack with X in the place of Z, Z in that of X, and as many planes of it as make cubic voxels."""
    fine = sampling.upsample(stack, spacing, axis=0) if spacing > 1 else stack
    return np.ascontiguousarray(fine.transpose(2, 1, 0))


def degrade_laterally(
    image: NDArray[np.generic],
    factor: Fraction,
    psfs: Sequence[Psf],
    pixel_size_um: tuple[float, float],
    camera: Camera | None,
    rng: np.random.Generator,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> SimulatedPair:
    """Return a lateral slice made to look axial along X, and the slice itself.

    PSF, sampling at the coarse pixels of X, photon and read noise of every sample, linear interpolation back. (Noise
    before sampling, as in CSBDeep, is the same: samples are points.)

    Parameters
    ----------
    image
        YX, or CYX with several channels.
    factor
        Distance of the planes over the lateral pixel size.
    psfs
        What turns lateral into axial (`psf.take_anisotropic_part`), YX: one for all channels or one for each.
    pixel_size_um
        Of Y and X.
    camera
        None: no noise; grey levels stay as they are.
    ranges
        Black and white of each channel (`camera.degrade`), where `image` is a piece of a larger one.

    Returns
    -------
    SimulatedPair
        Source and target of the same shape, in the grey levels of the source; X is cut to whole coarse pixels.

    Raises
    ------
    DataError
        If there are neither one PSF nor as many as channels, a PSF is larger than the image, or X is too short.
    """
    channels = image[None] if image.ndim == 2 else image
    if image.ndim not in {2, 3} or len(psfs) not in {1, len(channels)}:
        raise DataError(
            f"expected an image with axes YX or CYX and one PSF or one for each channel, found shape {image.shape} and "
            f"{len(psfs)} PSFs"
        )
    sources, targets = [], []
    parameters: dict[str, float] = {}
    for k, channel in enumerate(channels):
        psf = psfs[k] if len(psfs) > 1 else psfs[0]
        sampled = sampling.subsample(blur(channel, psf, pixel_size_um), factor, axis=-1)
        black, white = ranges[k] if ranges else (None, None)
        source, target, drawn = record_pair(sampled, channel, camera, rng, like=channel, black=black, white=white)
        sources.append(sampling.upsample(source.astype(np.float32), factor, axis=-1))
        targets.append(target[..., : sources[-1].shape[-1]])
        parameters |= {f"{name}_{k}" if len(channels) > 1 else name: value for name, value in drawn.items()}
    shape = (*image.shape[:-1], sources[0].shape[-1])
    return SimulatedPair(np.stack(sources).reshape(shape), np.stack(targets).reshape(shape), parameters)
