"""Task upsample: sources lack planes that their targets have."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carezoo.simulate import sampling
from carezoo.simulate.clean_images import CleanImage
from carezoo.simulate.denoise import make_blurred
from carezoo.simulate.section import BlurredSimulation, PreparedSimulation, SimulatedPair
from carezoo.tasks import UPSAMPLE


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
