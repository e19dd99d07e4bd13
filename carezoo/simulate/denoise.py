"""Task denoise: sources have blur, background and noise, targets do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carezoo.simulate import camera, psf, rendering
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
from carezoo.tasks import DENOISE


@dataclass(frozen=True, kw_only=True)
class Denoise(RecordedSimulation):
    """Blur, background and noise."""

    task: ClassVar[str] = DENOISE.name
    aliases: ClassVar[tuple[str, ...]] = ("restore",)  # the former name, read for one more version
    is_default: ClassVar[bool] = True

    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a pair of one size."""
        return make_blurred(self, prepared, clean, rng, keep_blur=self.targets == "source")


def make_blurred(
    simulation: BlurredSimulation,
    prepared: PreparedSimulation,
    clean: CleanImage | None,
    rng: np.random.Generator,
    *,
    keep_blur: bool = False,
) -> SimulatedPair:
    """Make a pair through the PSF and the camera.

    Parameters
    ----------
    clean
        Image to degrade; None: structures are simulated.
    keep_blur
        Whether targets of structures have the PSF and the background of their source.
    """
    if clean is None:
        return _render(simulation, prepared, rng, keep_blur=keep_blur)
    pixels, _ = clean.cut(simulation.piece, rng)
    if "C" not in clean.axes:
        return _degrade(simulation, prepared, pixels, clean.ranges[0], rng)
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
