"""What a description of simulated pairs says whatever their task, and what every kind of simulation can do.

A kind of simulation is a class with the keys it understands (`carezoo.simulate.blurred`, `isotropic`, `project`).
`carezoo.simulate.pairs` selects one by the key ``task``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.simulate import rendering
from carezoo.simulate.camera import Camera, PixelMaps
from carezoo.simulate.clean_images import CleanImage, check_size, open_clean_images
from carezoo.simulate.psf import Gaussian, Kernel, Psf, check_fits, measure_sigma_um
from carezoo.simulate.psf_section import GaussianPsf, SourcePsf, draw_source_psf, read_beads, take_widest
from carezoo.simulate.rendering import Canvas, FieldOfView
from carezoo.simulate.structures.background import Background
from carezoo.simulate.structures.drawing import Structure


class SimulatedPair(NamedTuple):
    """A pair and what it was made with."""

    source: NDArray[np.generic]
    """YX or ZYX, after C if the images have channels."""
    target: NDArray[np.float32]
    """In the grey levels of the source; YX for task project, more planes than the source for task upsample."""
    parameters: dict[str, float]
    """Every drawn number by name, such as ``camera.photons`` (``camera.photons_k`` of channel k, if there are many)."""


@dataclass(frozen=True, eq=False)
class PreparedSimulation:
    """A description that was checked, with what it needs."""

    simulation: Simulation
    images: tuple[CleanImage, ...]
    """Empty for simulated structures."""
    beads: tuple[Kernel | None, ...]
    """For each PSF of the description the average bead; None where the PSF does not come from beads."""
    maps: PixelMaps | None
    """Measured pixel maps of the camera."""

    @property
    def has_channels(self) -> bool:
        """Whether pairs have a C axis in front."""
        return bool(self.images) and "C" in self.images[0].axes


@dataclass(frozen=True, kw_only=True)
class Simulation(ABC):
    """Pairs made without an acquisition: degraded from clean images, or simulated from nothing."""

    selected_by: ClassVar[str] = "task"
    task: ClassVar[str]
    spatial_choices: ClassVar[tuple[str, ...]] = ("YX", "ZYX")
    """Spatial axes that pairs of this kind may have."""
    takes_channels: ClassVar[bool] = True
    """Whether clean images may have channels."""

    structures: tuple[Structure, ...] = ()
    """What is simulated; several structures are added up. Give these or `images`."""
    images: tuple[str, ...] = ()
    """Clean images to degrade: files, or patterns such as "clean/*.tif", relative to the data folder. Each has the axes
    of `pixel_size_um` and may have C; 2D tasks also take stacks and use their planes."""
    axes: str | None = None
    """Axes of the images; null: from their metadata."""
    each_channel: bool = False
    """Whether every channel of the images is an image of its own; else all channels of an image make a pair."""
    n_pairs: int = 64
    """Pairs written by `carezoo simulate`. A training makes pairs without end."""
    shape: tuple[int, ...] = ()
    """Pixels of a pair along YX or ZYX. Empty: 256 x 256 for structures, whole images otherwise. Images are cut to it
    at random places."""
    pixel_size_um: tuple[float, ...] = (0.1, 0.1)
    """Pixel size along YX or ZYX."""
    camera: Camera | None = None
    """Light and camera of the sources; null: no noise is added."""
    target_sigma_um: float | None = None
    """Gaussian width of the targets of simulated structures along Y and X, which are never bare skeletons; null: half
    the narrowest PSF, but not below 0.6 pixels."""
    seed: int = 0
    """Pair i depends on the seed and on i alone."""

    def __post_init__(self) -> None:
        if bool(self.structures) == bool(self.images):
            raise RecipeError("expected either structures (to simulate) or images (to degrade), and not both")
        if self.n_pairs < 1:
            raise RecipeError(f"n_pairs: expected 1 or more, found {self.n_pairs}")
        if self.shape and (len(self.shape) not in {2, 3} or min(self.shape) < 1):
            raise RecipeError(f"shape: expected 2 or 3 sizes above 0 (YX or ZYX), found {list(self.shape)}")
        if len(self.pixel_size_um) not in {2, 3} or min(self.pixel_size_um) <= 0:
            raise RecipeError(f"pixel_size_um: expected 2 or 3 sizes above 0 (YX or ZYX), found {self.pixel_size_um}")
        if (self.shape or self.structures) and len(self.field_shape) != len(self.pixel_size_um):
            raise RecipeError(
                f"shape {list(self.field_shape)} has {len(self.field_shape)} axes, pixel_size_um "
                f"{list(self.pixel_size_um)} has {len(self.pixel_size_um)}: expected as many (YX or ZYX)"
            )
        if self.target_sigma_um is not None and self.target_sigma_um < 0.4 * self.pixel_size_um[-1]:
            raise RecipeError(
                f"target_sigma_um: {self.target_sigma_um:g} is less than 0.4 pixels of {self.pixel_size_um[-1]:g} um: "
                "a target of single pixels cannot be learned"
            )
        if self.spatial_axes not in self.spatial_choices:
            (wanted,) = self.spatial_choices
            raise RecipeError(
                f"task {self.task} works on {wanted}: expected {len(wanted)} sizes in pixel_size_um, found "
                f"{list(self.pixel_size_um)}"
            )

    @property
    def spatial_axes(self) -> str:
        """YX or ZYX."""
        return "ZYX"[-len(self.pixel_size_um) :]

    @property
    def plane_factor(self) -> Fraction:
        """Distance of the planes of a whole source over that of its target's planes."""
        return Fraction(1)

    @property
    def is_magnified(self) -> bool:
        """Whether pieces of clean images are resampled, which therefore have `shape` everywhere."""
        return False

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Shape of a simulated image, YX or ZYX."""
        return self.shape or (256, 256)

    @property
    def field(self) -> FieldOfView:
        """The part of space that a simulated image shows."""
        return FieldOfView(self.field_shape, self.pixel_size_um)

    @property
    def piece(self) -> dict[str, int]:
        """Size of the pieces cut from clean images, by axis; an axis that is taken whole is missing."""
        return dict(zip(self.spatial_axes, self.shape, strict=False))

    @abstractmethod
    def make(self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator) -> SimulatedPair:
        """Make a pair as a network is trained on it, from `clean`, or from structures where that is None."""

    def make_whole(
        self, prepared: PreparedSimulation, clean: CleanImage | None, rng: np.random.Generator
    ) -> SimulatedPair:
        """Make a pair as the packed model takes and gives it."""
        return self.make(prepared, clean, rng)

    def check(self, prepared: PreparedSimulation) -> None:
        """Raise `DataError` if a PSF is larger than the pairs, or a factor leaves too few planes."""
        widest = self.widest_psfs(prepared)
        for shape in self.pair_shapes(prepared):
            for each in widest:
                check_fits(each, shape, self.pixel_size_um, "psf")

    def check_whole(self, prepared: PreparedSimulation) -> None:
        """Check that `make_whole` works, as `check` does; `RecipeError` if images or structures do not suffice."""
        self.check(prepared)

    def pair_shapes(self, prepared: PreparedSimulation) -> list[tuple[int, ...]]:
        """Return the shapes that pairs are made of: that of the field, or those of the images."""
        if self.shape or self.structures:
            return [self.field_shape]
        return [tuple(each.sizes[letter] for letter in self.spatial_axes) for each in prepared.images]

    @abstractmethod
    def widest_psfs(self, prepared: PreparedSimulation) -> Sequence[Psf]:
        """Return every PSF of the description, the widest where it is drawn."""

    @abstractmethod
    def read_beads(self, folder: Path) -> tuple[Kernel | None, ...]:
        """Return what `PreparedSimulation.beads` holds."""

    def open_images(self, folder: Path) -> tuple[CleanImage, ...]:
        """Find, open and measure the clean images; errors as of `open_clean_images` and `check_size`."""
        black = self.camera.clean_offset if self.camera is not None and self.camera.dose_factor is not None else None
        images = open_clean_images(
            self.images,
            folder,
            self.axes,
            self.spatial_axes,
            black=black,
            takes_channels=self.takes_channels,
            each_channel=self.each_channel,
        )
        for each in images:
            check_size(each, self.piece)
        return images


@dataclass(frozen=True, kw_only=True)
class BlurredSimulation(Simulation):
    """Pairs whose sources are blurred by the PSF of a microscope."""

    psf: SourcePsf | None = None
    """What blurs the sources. Needed for structures; with images null means that they are not blurred further."""
    target_sigma_z_um: float | None = None
    """As `target_sigma_um`, along Z; null: as the PSF of the source."""
    background: Background = field(default_factory=Background)
    """What the sources of simulated structures show besides them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structures and self.psf is None:
            raise RecipeError("psf: simulated structures need one; for a first try {kind: gaussian, sigma_um: 0.12}")
        if isinstance(self.psf, GaussianPsf) and self.spatial_axes == "ZYX" and self.psf.sigma_z_um is None:
            raise RecipeError("psf: a volume needs sigma_z_um, too")

    def widest_psfs(self, prepared: PreparedSimulation) -> Sequence[Psf]:
        """Return the widest PSF of the sources, if they are blurred."""
        if self.psf is None:
            return []
        widest, _ = draw_source_psf(
            take_widest(self.psf), prepared.beads[0], self.pixel_size_um, np.random.default_rng(0)
        )
        return [widest]

    def read_beads(self, folder: Path) -> tuple[Kernel | None, ...]:
        """Return the average bead for the PSF of the sources."""
        return (read_beads(self.psf, folder),)

    def target_psf(self, source: Psf) -> Gaussian:
        """Return the Gaussian of the targets of simulated structures, given the PSF of their source."""
        widths = source.sigma_um if isinstance(source, Gaussian) else measure_sigma_um(source)
        # With Gaussian sources one width for all images, whatever was drawn for this one.
        narrowest = self.psf.sigma_um.low if isinstance(self.psf, GaussianPsf) else widths[-1]
        lateral = self.target_sigma_um or max(narrowest / 2, 0.6 * self.pixel_size_um[-1])
        if len(widths) == 2:
            return Gaussian((lateral, lateral))
        return Gaussian((self.target_sigma_z_um or widths[0], lateral, lateral))

    def cut(self, clean: CleanImage, rng: np.random.Generator) -> tuple[NDArray[np.generic], dict[str, float]]:
        """Return a piece of a clean image, of the shape of a pair, and numbers for the table."""
        return clean.cut(self.piece, rng)[0], {}

    def sample(
        self, blurred: NDArray[np.generic], target: NDArray[np.generic]
    ) -> tuple[NDArray[np.generic], NDArray[np.generic], dict[str, float]]:
        """Return what the camera records of `blurred`, the target that goes with it, and numbers for the table."""
        return blurred, target, {}

    def plan_canvas(self, source: Psf, target: Gaussian) -> Canvas:
        """Return a canvas for a simulated image that is seen through both PSFs."""
        reach = map(max, rendering.estimate_reach_um(source), rendering.estimate_reach_um(target))
        return rendering.plan_canvas(self.field, target.sigma_um, tuple(reach))


@dataclass(frozen=True, kw_only=True)
class RecordedSimulation(BlurredSimulation):
    """Pairs whose sources have noise, and whose targets may keep the blur."""

    camera: Camera = field(metadata={"example": "{photons: {log: [10, 200]}}"})
    """Light and camera of the sources."""
    targets: Literal["structure", "source"] = "structure"
    """Targets of simulated structures. structure: the structures through a narrower PSF, with uniform light as the
    only background. source: through the PSF of their source, for models that do not sharpen. There task denoise shows
    what the camera sees before its noise, background and all, and task project the sheet alone, in uniform light."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets == "source":
            if self.images:
                raise RecipeError("targets: source is for structures; leave it out with images")
            for name in ("target_sigma_um", "target_sigma_z_um"):
                if getattr(self, name) is not None:
                    raise RecipeError(f"{name}: targets: source means the PSF of the sources; leave it out")


def prefix_names(prefix: str, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return `numbers` with ``prefix.`` before every name."""
    return {f"{prefix}.{name}": value for name, value in numbers.items()}
