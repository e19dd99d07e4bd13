"""Task denoise: sources have blur, background and noise, targets do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.simulate import camera as camera_
from carezoo.simulate import psf, rendering
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


@dataclass(frozen=True, kw_only=True)
class Denoise(RecordedSimulation):
    """Blur, background and noise."""

    task: ClassVar[str] = "restore"
    aliases: ClassVar[tuple[str, ...]] = ("denoise",)
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
    images = np.maximum(sampled, 0), target  # Interpolation between planes may overshoot.
    # Photons are those of the structure without its background.
    return _record(simulation, prepared, images, _Exposed(seen, 0.0, None), parameters | drawn, rng)


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
    return _record(simulation, prepared, (sampled, target), _Exposed(channel, *black_white), parameters | drawn, rng)


class _Exposed(NamedTuple):
    """The image whose brightness sets the exposure, and its black and white if they are known (`camera.expose`)."""

    image: NDArray[np.generic]
    black: float | None
    white: float | None


def _record(
    simulation: BlurredSimulation,
    prepared: PreparedSimulation,
    images: tuple[NDArray[np.generic], NDArray[np.generic]],
    exposed: _Exposed,
    parameters: dict[str, float],
    rng: np.random.Generator,
) -> SimulatedPair:
    """Return what the camera records of the first image, and the second in the same grey levels."""
    seen, target = images
    if simulation.camera is None:
        return SimulatedPair(seen, target.astype(np.float32), parameters)
    exposure = camera_.expose(exposed.image, simulation.camera, rng, black=exposed.black, white=exposed.white)
    source, drawn = camera_.record(camera_.expect_electrons(seen, exposure), exposure, rng, maps=prepared.maps)
    return SimulatedPair(source, camera_.to_grey_levels(target, exposure), parameters | prefix_names("camera", drawn))
