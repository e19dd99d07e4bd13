"""Everything a package says, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal

from carezoo.package.manifest import ChannelMeaning, Record
from carezoo.tiling import AxisRule

INPUT_NAME = "source"
OUTPUT_NAME = "restored"
WEIGHTS_PATH = "weights.onnx"
TEST_INPUT_PATH = "test_input.npy"
TEST_OUTPUT_PATH = "test_output.npy"


@dataclass(frozen=True)
class Author:
    """Somebody who made the model."""

    name: str
    """Full name."""
    affiliation: str = ""
    """Institute."""
    orcid: str = ""
    """ORCID iD, such as 0000-0001-2345-6789."""


@dataclass(frozen=True)
class Citation:
    """Something to cite when the model is used; `doi` or `url` is needed."""

    text: str
    """The reference, as it should be printed."""
    doi: str = ""
    """DOI without address, such as 10.1038/s41592-018-0216-7."""
    url: str = ""
    """Address, where there is no DOI."""


@dataclass(frozen=True)
class Percentiles:
    """Normalization by percentiles of each image: ``(x - low) / (high - low + eps)``, for each channel."""

    low: float = 2.0
    high: float = 99.8
    eps: float = 1e-6
    mode: Literal["matched", "own"] = "matched"
    """How training related the target's intensities to the source's."""


@dataclass(frozen=True)
class Constants:
    """Normalization by constants of the training set: ``(x - low) / (high - low)``, undone by the format itself."""

    low: tuple[float, ...]
    """One for each input channel, in the intensity units of the images."""
    high: tuple[float, ...]


@dataclass(frozen=True)
class Draft:
    """What the trainer knows of a model, enough to write a package.

    Axes are carezoo's letters. The graph has one input called `source` with axes B, C and `axes`, and first the output
    `restored` with axes B, C and `output_axes`.
    """

    id: str
    """Lower-case letters, digits and ``_ - / .``."""
    name: str
    """5 to 128 letters, digits and ``_ + - ( )`` or spaces."""
    version: str
    description: str
    authors: tuple[Author, ...]
    cite: tuple[Citation, ...]
    license: str
    """SPDX identifier."""
    timestamp: datetime
    """With time zone; part of the package's bytes, so let it depend on nothing but the training."""
    task: str
    """A name of `carezoo.tasks`."""
    axes: str
    """Spatial axes of the input: YX or ZYX."""
    output_axes: str
    """Spatial axes of the output; an axis missing here is projected away."""
    rules: Mapping[str, AxisRule]
    """What the graph really needs of each axis in `axes`, in input pixels."""
    input_channels: tuple[str, ...]
    output_channels: tuple[ChannelMeaning, ...]
    normalization: Percentiles | Constants
    files: Mapping[str, bytes]
    """Content by relative path. Needed: weights.onnx, test_input.npy, test_output.npy; known by name: README.md,
    cover.png, sample_input.tif, sample_output.tif; anything else is attached."""
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    """Output pixels for one input pixel, where they are not 1."""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    """Of the input images the model was trained on."""
    opset: int = 17
    tags: tuple[str, ...] = ()
    parent: tuple[str, str] | None = None
    """Name and version of the package this one was fine-tuned from."""
    git_repo: str = ""
    bytes_per_pixel: int | None = None
    """Peak working memory of the graph for each input pixel of a tile, on the CPU provider in float32."""
    n_members: int | None = None
    """Of an ensemble, whose graph has a further, last output `members`."""
    tolerance: tuple[float, float] = (1e-3, 1e-4)
    """Relative and absolute difference at which test tensors count as reproduced."""
    record: Record = field(default_factory=Record)
    """How the model was made, and what was measured on it."""
