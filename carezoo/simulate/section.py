"""What a recipe says about simulated pairs, as one typed value; `carezoo.simulate.pairs` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal

from carezoo.errors import RecipeError
from carezoo.schema.build import build
from carezoo.schema.span import Span
from carezoo.simulate.camera import Camera
from carezoo.simulate.structures.background import Background
from carezoo.simulate.structures.epithelium import Epithelium
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.nuclei import Nuclei
from carezoo.simulate.structures.tubules import Tubules

Structure = Tubules | Granules | Nuclei | Epithelium


@dataclass(frozen=True, kw_only=True)
class GaussianPsf:
    """A Gaussian, of another width for each image."""

    kind: ClassVar[str] = "gaussian"

    sigma_um: Span
    """Standard deviation along Y and X (0.21 wavelength / NA for widefield)."""
    sigma_z_um: Span | None = None
    """Standard deviation along Z; needed for volumes."""

    def __post_init__(self) -> None:
        for name in ("sigma_um", "sigma_z_um"):
            span: Span | None = getattr(self, name)
            if span is not None and span.low <= 0:
                raise RecipeError(f"{name}: expected a number above 0, found {span}")


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


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Pairs made without an acquisition: degraded from clean images, or simulated from nothing."""

    camera: Camera | None = None
    """Light and camera of the sources; null only for tasks isotropic and upsample: no noise is added."""
    task: Literal["denoise", "isotropic", "upsample", "project", "restore"] = "denoise"
    """denoise (restore, its former name, is read too): blur, background and noise. isotropic: lateral slices made to
    look axial. upsample: planes dropped. project: a noisy volume and the clean projection of the sheet in it."""
    structures: tuple[Structure, ...] = ()
    """What is simulated; several are added up. Task project: one epithelium. Give these or `images`."""
    images: tuple[str, ...] = ()
    """Clean images to degrade: files, or patterns such as "clean/*.tif", relative to the data folder. Each has the axes
    of `pixel_size_um` and may have C; 2D tasks also take stacks and use their planes."""
    axes: str | None = None
    """Axes of the images; null: from their metadata."""
    heights: tuple[str, ...] = ()
    """Task project with images: one height map (YX, planes from 0) for each stack, in the order of the images."""
    n_pairs: int = 64
    """Pairs written by `carezoo simulate`. In training pairs are made without end."""
    shape: tuple[int, ...] = ()
    """Pixels of a pair along YX or ZYX. Empty: 256 x 256 for structures, whole images else. Images are cut to it at
    random."""
    pixel_size_um: tuple[float, ...] = (0.1, 0.1)
    """Pixel size along YX or ZYX."""
    psf: SourcePsf | None = None
    """What blurs the sources. Needed for structures; with images null means that they are not blurred further."""
    targets: Literal["structure", "source"] = "structure"
    """Targets of simulated structures. structure: the structures through a narrower PSF, without background
    but for its uniform light. source: through the PSF of their source, for models that do not sharpen: task denoise,
    what the camera sees before its noise, background and all; task project, the sheet alone, in uniform light."""
    target_sigma_um: float | None = None
    """Gaussian width of the targets of simulated structures along Y and X, so that they are no bare skeletons; null:
    half the narrowest PSF, but not below 0.6 pixels."""
    target_sigma_z_um: float | None = None
    """The same along Z; null: as the PSF of the source."""
    background: Background = field(default_factory=Background)
    """What the sources of simulated structures show besides them."""
    factor: Fraction | None = None
    """Tasks isotropic and upsample: distance of the planes over that of the restored planes (isotropic: over the
    lateral pixel size); any number of 1 or more, such as 10.2 or 51/5."""
    axial_psfs: tuple[AxialPsf, ...] = ()
    """Task isotropic: the anisotropic PSF, one for all channels or one for each."""
    axial_width: Literal["physical", "csbdeep"] = "physical"
    """Task isotropic: how a lateral slice is blurred: physical, sqrt(axial^2 - lateral^2) along the degraded axis, or
    as CSBDeep's example does, (axial - lateral) along it and lateral along the other."""
    seed: int = 0
    """Pair i depends on the seed and on i, on nothing else."""

    def __post_init__(self) -> None:
        if self.task == "restore":
            object.__setattr__(self, "task", "denoise")
        self._check_inputs()
        self._check_sizes()
        self._check_task()

    def _check_inputs(self) -> None:
        if bool(self.structures) == bool(self.images):
            raise RecipeError("expected either structures (to simulate) or images (to degrade), and not both")
        if self.structures and self.psf is None and self.task != "isotropic":
            raise RecipeError("psf: simulated structures need one; for a first try {kind: gaussian, sigma_um: 0.12}")
        if self.camera is None and self.task not in {"isotropic", "upsample"}:
            raise RecipeError(f"camera: task {self.task} needs one; for a first try {{photons: {{log: [10, 200]}}}}")
        if self.task in {"isotropic", "upsample"} and self.factor is None:
            raise RecipeError(f"factor: task {self.task} needs one")
        if self.factor is not None and self.factor < 1:
            raise RecipeError(f"factor: expected 1 or more, found {self.factor}; did you mean {1 / self.factor}?")

    def _check_sizes(self) -> None:
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
        if self.targets == "source":
            for name in ("target_sigma_um", "target_sigma_z_um"):
                if getattr(self, name) is not None:
                    raise RecipeError(f"{name}: targets: source means the PSF of the sources; leave it out")
        narrowest = self.target_sigma_um
        if narrowest is not None and narrowest < 0.4 * self.pixel_size_um[-1]:
            raise RecipeError(
                f"target_sigma_um: {narrowest:g} is less than 0.4 pixels of {self.pixel_size_um[-1]:g} um: a target of "
                "single pixels cannot be learned"
            )

    def _check_task(self) -> None:
        n_axes = len(self.pixel_size_um)
        wanted = {"isotropic": 2, "upsample": 3, "project": 3}.get(self.task, n_axes)
        if n_axes != wanted:
            raise RecipeError(
                f"task {self.task} works on {'YX' if wanted == 2 else 'ZYX'}: expected {wanted} sizes in "
                f"pixel_size_um, found {list(self.pixel_size_um)}"
            )
        if self.targets == "source" and (self.task not in {"denoise", "project"} or self.images):
            raise RecipeError("targets: source is for structures and the tasks denoise and project")
        if isinstance(self.psf, GaussianPsf) and n_axes == 3 and self.psf.sigma_z_um is None:
            raise RecipeError("psf: a volume needs sigma_z_um, too")
        if self.task == "isotropic" and not self.axial_psfs:
            raise RecipeError("axial_psfs: task isotropic needs at least one, such as {kind: optics, na: 1.2, ...}")
        if self.task == "project":
            if self.structures and not (len(self.structures) == 1 and isinstance(self.structures[0], Epithelium)):
                raise RecipeError("structures: task project simulates one epithelium")
            if self.images and len(self.heights) == 0:
                raise RecipeError("heights: task project with images needs one height map for each stack")

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Shape of a simulated image, YX or ZYX."""
        return self.shape or (256, 256)


def describe(values: Mapping[str, object], where: str = "simulate") -> Simulation:
    """Return the simulation that `values`, as parsed from YAML, describe.

    Parameters
    ----------
    where
        What messages call the place of `values`.

    Raises
    ------
    RecipeError
        If a key is unknown (the nearest one is named), missing, or its value makes no sense.
    """
    return build(Simulation, values, where)
