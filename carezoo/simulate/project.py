"""Task project: a noisy volume and the clean projection of a curved sheet in it.

The sheet is simulated, or it is that of a real stack whose height map is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError, RecipeError
from carezoo.simulate import rendering
from carezoo.simulate.camera import Camera, record_pair
from carezoo.simulate.clean_images import CleanImage, add_heights
from carezoo.simulate.psf import Psf
from carezoo.simulate.psf_section import draw_source_psf
from carezoo.simulate.rendering import Canvas
from carezoo.simulate.section import PreparedSimulation, RecordedSimulation, SimulatedPair, prefix_names
from carezoo.simulate.structures.background import Background, add_background
from carezoo.simulate.structures.epithelium import Epithelium, draw_sheet
from carezoo.tasks import PROJECT


@dataclass(frozen=True, kw_only=True)
class Project(RecordedSimulation):
    """A noisy volume, and the clean projection of the sheet in it."""

    task: ClassVar[str] = PROJECT.name
    spatial_choices: ClassVar[tuple[str, ...]] = ("ZYX",)
    takes_channels: ClassVar[bool] = False

    heights: tuple[str, ...] = ()
    """With images: one height map (YX, planes from 0) for each stack, in the order of the images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structures and not (len(self.structures) == 1 and isinstance(self.structures[0], Epithelium)):
            raise RecipeError("structures: task project simulates one epithelium")
        if self.images and not self.heights:
            raise RecipeError("heights: task project with images needs one height map for each stack")

    @property
    def piece(self) -> dict[str, int]:
        """Size of the pieces along Y and X; the depth is whole, because a sheet must not be cut."""
        return {letter: size for letter, size in super().piece.items() if letter != "Z"}

    def open_images(self, folder: Path) -> tuple[CleanImage, ...]:
        """Find, open and measure the stacks, with their height maps."""
        images = super().open_images(folder)
        return add_heights(images, self.heights, folder) if images else ()

    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a volume and the projection of the sheet in it."""
        if clean is None:
            return self._render(prepared, rng)
        pixels, height = clean.cut(self.piece, rng)
        assert height is not None  # `open_images` adds one to every image.
        made = degrade_stack(pixels, height, self.camera, rng, black_white=clean.ranges[0])
        return SimulatedPair(made.source, made.target, prefix_names("camera", made.parameters))

    def _render(self, prepared: PreparedSimulation, rng: np.random.Generator) -> SimulatedPair:
        (sheet,) = self.structures
        assert isinstance(sheet, Epithelium)  # The description is checked.
        source_psf, parameters = draw_source_psf(self.psf, prepared.beads[0], self.pixel_size_um, rng)
        target_psf = self.target_psf(source_psf)
        canvas = self.plan_canvas(source_psf, target_psf)
        psfs = (source_psf, source_psf if self.targets == "source" else target_psf)
        made = render_sheet(sheet, canvas, psfs, self.background, self.camera, rng)
        return SimulatedPair(made.source, made.target, parameters | made.parameters)


class ProjectionPair(NamedTuple):
    """A volume and the projection of the sheet in it."""

    source: NDArray[np.generic]
    """ZYX, as the camera records it."""
    target: NDArray[np.float32]
    """YX, grey levels of the source."""
    height_px: NDArray[np.float32]
    """YX: plane (from 0, with fractions) in which the sheet lies."""
    parameters: dict[str, float]
    """Numbers drawn, by name; of a simulation with ``epithelium.``, ``background.`` or ``camera.`` in front."""


def project(volume: NDArray[np.generic], height_px: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return `volume` (ZYX) at the planes `height_px` (YX, fractions are interpolated linearly).

    Raises
    ------
    DataError
        If the map has another field of view, is not finite, or leaves the volume.
    """
    height = height_px.astype(np.float64)
    if volume.ndim != 3 or height.shape != volume.shape[1:]:
        raise DataError(
            f"expected a stack ZYX and a height map YX of the same field, found {volume.shape} and {height_px.shape}"
        )
    if not np.isfinite(height).all() or height.min() < 0 or height.max() > volume.shape[0] - 1:
        raise DataError(
            f"height map: expected planes from 0 to {volume.shape[0] - 1}, found {np.nanmin(height):g} to "
            f"{np.nanmax(height):g}"
            + ("" if np.isfinite(height).all() else " and values that are not finite")
            + "; planes are counted from 0"
        )
    below = np.minimum(np.floor(height).astype(np.intp), volume.shape[0] - 2) if len(volume) > 1 else height.astype(int)
    t = (height - below).astype(np.float32)
    above = np.minimum(below + 1, volume.shape[0] - 1)
    values = volume.astype(np.float32)
    first, second = (np.take_along_axis(values, index[None], axis=0)[0] for index in (below, above))
    return np.asarray(first * (1 - t) + second * t, np.float32)


def degrade_stack(
    stack: NDArray[np.generic],
    height_px: NDArray[np.generic],
    camera: Camera,
    rng: np.random.Generator,
    *,
    black_white: tuple[float | None, float | None] = (None, None),
) -> SimulatedPair:
    """Return a real, clean stack recorded with less light, and its own projection along a known height map.

    Parameters
    ----------
    stack
        ZYX with a good signal; what noise it has stays in the target.
    height_px
        YX, planes counted from 0 (maps from PreMosa and epitools often count from 1).
    black_white
        As `camera.degrade`, where `stack` is a piece of a larger one.
    """
    black, white = black_white
    projection = project(stack, height_px)
    return SimulatedPair(*record_pair(stack, projection, camera, rng, like=stack, black=black, white=white))


def render_sheet(
    epithelium: Epithelium,
    canvas: Canvas,
    psfs: tuple[Psf, Psf],
    background: Background,
    camera: Camera,
    rng: np.random.Generator,
) -> ProjectionPair:
    """Return a volume with a simulated epithelium, and its clean projection without the second structure.

    Parameters
    ----------
    canvas
        Of a ZYX image.
    psfs
        Of the source and of the target (ZYX both). The target is the volume seen through the second, along the surface,
        so its brightness is that of the in-focus sheet in the source.
    """
    sheet = draw_sheet(epithelium, canvas, rng)
    junctions, second = (
        rendering.compute_spectrum(sheet.junctions, canvas),
        rendering.compute_spectrum(sheet.second, canvas),
    )
    seen = rendering.render(junctions + second, psfs[0], canvas)
    volume, uniform, drawn = add_background(background, seen, junctions + second, canvas, rng)
    inside = tuple(slice(m, m + n) for m, n in zip(canvas.margin_px[1:], canvas.image.shape[1:], strict=True))
    height = (sheet.height_um[inside] - canvas.margin_um[0]) / canvas.image.pixel_size_um[0] - 0.5
    height = np.clip(height, 0, canvas.image.shape[0] - 1)
    clean = project(rendering.render(junctions, psfs[1], canvas), height) + uniform
    source, target, recorded = record_pair(volume, clean, camera, rng, like=seen, black=0.0)
    parameters = prefix_names("epithelium", sheet.parameters) | prefix_names("background", drawn)
    parameters |= prefix_names("camera", recorded)
    return ProjectionPair(source, target, height.astype(np.float32), parameters)
