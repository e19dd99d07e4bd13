"""What a model folder does not say, and a user has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a model folder does not say."""

    task: str | None = None
    """What the model does, where config.json leaves a choice; None: CARE, or what a factor implies."""
    factor: Fraction | None = None
    """Output planes for one input plane: the `factor` given to CSBDeep's predict. Isotropic and upsampling only."""
    weights: str | None = None
    """Name of the file of weights; None: the best ones, as CSBDeep chooses."""
    percentiles: tuple[float, float] = (2.0, 99.8)
    """Of the normalizer given to CSBDeep's predict."""
    name: str | None = None
    """Name of the package; None: from the folder."""
    version: str = "0.1.0"
    description: str = ""
    authors: tuple[str, ...] = ()
    license: str = "CC-BY-4.0"
    """SPDX identifier."""
    channels: tuple[str, ...] = ()
    """Names of the input channels; empty: signal, or numbers."""
    target_channels: tuple[str, ...] = ()
    """Names of the restored channels; empty: those of the input, or numbers."""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    """Of the images the model is made for, by axis letter."""
    sample: Path | None = None
    """Image for test tensors and cover; None: a simulated one."""
    sample_axes: str | None = None
    """Axes of its file; None: from its metadata."""
    sample_license: str = ""
    """Licence of the image."""
