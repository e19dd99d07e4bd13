"""What the tasks ask of a recipe and of its images: one row for each. `carezoo.train.networks` has their networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One way of restoring images."""

    verb: str
    """What the model does with an image, for descriptions."""
    tags: tuple[str, ...]
    """Words to find its models by."""
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


TASKS: Mapping[str, Task] = {
    "denoise": Task("Restores", ("denoising",), ("YX", "ZYX")),
    "upsample": Task(
        "Makes planes between the planes of", ("upsampling",), ("ZYX",), has_factor=True, learns_factor=True
    ),
    "isotropic": Task(
        "Makes resolution along Z as fine as along Y and X in",
        ("isotropic", "upsampling"),
        ("YX",),
        model_axes="ZYX",
        has_factor=True,
        may_turn=False,
    ),
    "project": Task("Projects and restores the surface in", ("projection", "denoising"), ("ZYX",), is_projecting=True),
}
"""By the recipe's word.

isotropic: a 2D network learns from lateral slices made to look axial, degraded along X, to restore them at the same
size; the model runs it over axial slices of a stack.
"""
