"""What a model can do: one row for each task, and the one place where its word is written.

A new task is a row here, a network in `carezoo.train.networks`, and a test of it. Restoring never asks for the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True, kw_only=True)
class Task:
    """One way of restoring images."""

    name: str
    """The word in recipes, packages, indexes and on the command line."""
    title: str
    """What the model does, for `carezoo info` and the gallery."""
    verb: str
    """The same at the beginning of a sentence about images."""
    tags: tuple[str, ...]
    """Words to find its models by."""
    csbdeep: str
    """CSBDeep's class for it."""
    patch_axes: tuple[str, ...]
    """Axes that patches of the source may have: those of the network that is trained."""
    model_axes: str = ""
    """Axes of the images the packed model takes; empty: those of the patches."""
    is_projecting: bool = False
    """Whether a target is one plane made of all planes of the source."""
    has_factor: bool = False
    """Whether the packed model makes more planes than it gets."""
    learns_factor: bool = False
    """Whether the targets of the training have those planes, too."""
    may_turn: bool = True
    """Whether patches may be turned by 90 degrees: not where X is another kind of axis than Y."""


DENOISE = Task(
    name="denoise",
    title="denoise",
    verb="Restores",
    tags=("denoising",),
    csbdeep="CARE",
    patch_axes=("YX", "ZYX"),
)

UPSAMPLE = Task(
    name="upsample",
    title="restore missing planes (upsample Z)",
    verb="Makes planes between the planes of",
    tags=("upsampling",),
    csbdeep="UpsamplingCARE",
    patch_axes=("ZYX",),
    has_factor=True,
    learns_factor=True,
)

ISOTROPIC = Task(
    name="isotropic",
    title="restore isotropic resolution",
    verb="Makes resolution along Z as fine as along Y and X in",
    tags=("isotropic", "upsampling"),
    csbdeep="IsotropicCARE",
    patch_axes=("YX",),
    model_axes="ZYX",
    has_factor=True,
    may_turn=False,
)
"""A 2D network learns from lateral slices made to look axial, degraded along X, to restore them at the same size; the
model runs it over axial slices of a stack."""

PROJECT = Task(
    name="project",
    title="project a surface out of a volume",
    verb="Projects and restores the surface in",
    tags=("projection", "denoising"),
    csbdeep="ProjectionCARE",
    patch_axes=("ZYX",),
    is_projecting=True,
)

TASKS: Mapping[str, Task] = {task.name: task for task in (DENOISE, UPSAMPLE, ISOTROPIC, PROJECT)}
"""Every task by its name."""

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]
    """One of the names, for the schema of recipes."""
