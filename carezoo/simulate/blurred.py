"""Tasks denoise and upsample: sources have blur, background and noise, or lack planes; targets do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.schema.span import Span
from carezoo.simulate import camera, psf, rendering, sampling
from carezoo.simulate.clean_images import CleanImage
from carezoo.simulate.psf_section import draw_source_psf
from carezoo.simulate.section import (
    BlurredSimulation,
    PreparedSimulation,
    RecordedSimulation,
    SimulatedPair,
    prefix_names,
)
from carezoo.simulate.structures import background
from carezoo.simulate.structures.drawing import draw_structures
from carezoo.tasks import DENOISE, UPSAMPLE


@dataclass(frozen=True, kw_only=True)
class Denoise(RecordedSimulation):
    """Blur, background and noise."""

    task: ClassVar[str] = DENOISE.name
    aliases: ClassVar[tuple[str, ...]] = ("restore",)  # in the recipes of packages of the zoo
    is_default: ClassVar[bool] = True

    magnification: Span = Span(1.0, 1.0)
    """How much larger clean images are shown, along Y and X. Below 1 their pixels are averaged, and their own noise
    with them; an image is never shown smaller than it fills `shape`."""
    contrast: Span = Span(1.0, 1.0)
    """Power of the brightness of clean images above black: below 1 brings up what is dim, above 1 what is bright."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("magnification", "contrast"):
            span: Span = getattr(self, name)
            if span.low <= 0:
                raise RecipeError(f"{name}: expected numbers above 0, found {span}")
            if span != Span(1.0, 1.0) and (not self.images or self.spatial_axes != "YX" or not self.shape):
                raise RecipeError(f"{name}: goes with 2D images and a shape; leave it out with structures and stacks")

    @property
    def is_magnified(self) -> bool:
        """Whether pieces of clean images are resampled, which therefore have `shape` everywhere."""
        return not self.magnification == self.contrast == Span(1.0, 1.0)

    def cut(self, clean: CleanImage, rng: np.random.Generator) -> tuple[NDArray[np.generic], dict[str, float]]:
        """Return a piece of a clean image, magnified."""
        if not self.is_magnified:
            return super().cut(clean, rng)
        drawn = {"magnification": self.magnification.draw(rng), "contrast": self.contrast.draw(rng)}
        drawn["magnification"] = max(
            drawn["magnification"], *(side / clean.sizes[letter] for letter, side in self.piece.items())
        )
        wanted = {letter: math.ceil(side / drawn["magnification"]) for letter, side in self.piece.items()}
        wanted = {letter: min(side, clean.sizes[letter]) for letter, side in wanted.items()}
        pixels, _ = clean.cut(wanted, rng)
        magnified = sampling.magnify(pixels.astype(np.float32), self.shape)
        (black, white), *_ = clean.ranges
        above = np.maximum(magnified - black, 0) / (white - black)
        return above ** drawn["contrast"] * (white - black) + black, drawn

    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a pair of one size."""
        return make_blurred(self, prepared, clean, rng, keep_blur=self.targets == "source")


@dataclass(frozen=True, kw_only=True)
class Upsample(BlurredSimulation):
    """Every `factor`-th plane of a stack, and all planes."""

    task: ClassVar[str] = UPSAMPLE.name
    spatial_choices: ClassVar[tuple[str, ...]] = ("ZYX",)

    factor: Fraction = field(metadata={"example": "4"})
    """Distance of the planes of a source over that of its target's planes; any number of 1 or more, such as 10.2 or
    51/5."""

    def __post_init__(self) -> None:
        sampling.check_factor(self.factor)
        super().__post_init__()

    @property
    def plane_factor(self) -> Fraction:
        """Distance of the planes of a source over that of its target's planes."""
        return self.factor

    def check(self, prepared: PreparedSimulation) -> None:
        """Check that PSFs fit the stacks, and that at least two planes remain of each."""
        super().check(prepared)
        for shape in self.pair_shapes(prepared):
            sampling.check_coarse(shape[0], self.factor)

    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a stack with few planes, and the same with all planes."""
        return make_blurred(self, prepared, clean, rng)

    def sample(
        self, blurred: NDArray[np.generic], target: NDArray[np.generic]
    ) -> tuple[NDArray[np.generic], NDArray[np.generic], dict[str, float]]:
        """Return the planes that a source has, and the target without planes that fill no plane of the source."""
        planes = sampling.subsample(blurred.astype(np.float32), self.factor, axis=0)
        n_planes = sampling.count_fine(len(planes), self.factor)
        return planes, target[:n_planes], {"factor": float(self.factor)}


def make_blurred(
    simulation: BlurredSimulation,
    prepared: PreparedSimulation,
    clean: CleanImage | None,
    rng: np.random.Generator,
    *,
    keep_blur: bool = False,
) -> SimulatedPair:
    """Make a pair through the PSF and the camera, from `clean` or from structures.

    `keep_blur`: targets of structures have the PSF and the background of their source.
    """
    if clean is None:
        return _render(simulation, prepared, rng, keep_blur=keep_blur)
    pixels, cut = simulation.cut(clean, rng)
    if "C" not in clean.axes:
        pair = _degrade(simulation, prepared, pixels, clean.ranges[0], rng)
        return pair._replace(parameters=cut | pair.parameters)
    channels = [
        _degrade(simulation, prepared, channel, black_white, rng)
        for channel, black_white in zip(pixels, clean.ranges, strict=True)
    ]
    return SimulatedPair(
        np.stack([each.source for each in channels]),
        np.stack([each.target for each in channels]),
        {f"{name}_{k}": value for k, each in enumerate(channels) for name, value in each.parameters.items()},
    )


def _render(
    simulation: BlurredSimulation,
    prepared: PreparedSimulation,
    rng: np.random.Generator,
    *,
    keep_blur: bool,
) -> SimulatedPair:
    source_psf, parameters = draw_source_psf(simulation.psf, prepared.beads[0], simulation.pixel_size_um, rng)
    target_psf = simulation.target_psf(source_psf)
    canvas = simulation.plan_canvas(source_psf, target_psf)
    spectrum, drawn = draw_structures(simulation.structures, canvas, rng)
    parameters |= drawn
    seen = rendering.render(spectrum, source_psf, canvas)
    blurred, uniform, drawn = background.add_background(simulation.background, seen, spectrum, canvas, rng)
    parameters |= prefix_names("background", drawn)
    clean = blurred if keep_blur else rendering.render(spectrum, target_psf, canvas) + uniform
    sampled, target, drawn = simulation.sample(blurred, clean)
    sampled = np.maximum(sampled, 0)  # Interpolation between planes may overshoot.
    # Photons are those of the structure without its background.
    source, target, recorded = camera.record_pair(
        sampled, target, simulation.camera, rng, like=seen, black=0.0, maps=prepared.maps
    )
    return SimulatedPair(source, target, parameters | drawn | prefix_names("camera", recorded))


def _degrade(
    simulation: BlurredSimulation,
    prepared: PreparedSimulation,
    channel: NDArray[np.generic],
    black_white: tuple[float, float],
    rng: np.random.Generator,
) -> SimulatedPair:
    """Return one channel of a clean image (YX or ZYX), degraded."""
    blurred: NDArray[np.generic] = channel
    parameters: dict[str, float] = {}
    if simulation.psf is not None:
        source_psf, parameters = draw_source_psf(simulation.psf, prepared.beads[0], simulation.pixel_size_um, rng)
        blurred = psf.blur(channel, source_psf, simulation.pixel_size_um)
    sampled, target, drawn = simulation.sample(blurred, channel)
    black, white = black_white
    source, target, recorded = camera.record_pair(
        sampled, target, simulation.camera, rng, like=channel, black=black, white=white, maps=prepared.maps
    )
    return SimulatedPair(source, target, parameters | drawn | prefix_names("camera", recorded))
