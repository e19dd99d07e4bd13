"""A model fitted a little further, to noisy images of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml

from carezoo.errors import RecipeError
from carezoo.package.read import Package, open_package
from carezoo.progress import Progress
from carezoo.registry.resolve import resolve
from carezoo.tasks import DENOISE
from carezoo.train.noisy_recipe import describe_noisy
from carezoo.train.recipe import Recipe
from carezoo.train.run import train
from carezoo.train.sections import Packing, Training

MINUTES = 2.0

EPOCHS = (40, 25)
"""How many at most, and the steps of each."""

LEARNING_RATE = 1e-4
"""A tenth of what networks are trained with from the beginning: what a model knows is to stay."""


def adapt(
    reference: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    minutes: float = MINUTES,
    progress: Progress | None = None,
) -> Path:
    """Adapt a model to noisy images, and pack it as a new version if that makes it better.

    Photoelectrons of the images are thinned, as in a training with noisy images alone. The weights to start from count
    as a checkpoint, and the best one on images kept for that is taken.

    Parameters
    ----------
    reference
        Name or path of a package for task denoise, trained by carezoo.
    images
        A folder of noisy images of one detector with one setting, or one such image: raw grey levels.
    out
        Folder of the training, as of `carezoo.train.run.train`.
    minutes
        That the training takes at most, all members of an ensemble together.
    progress
        Called after each training step.

    Returns
    -------
    Path
        The zip.

    Raises
    ------
    InputError, DataError
        If the images cannot be used.
    RecipeError
        If the model cannot be adapted.
    NoGainError
        If the model cannot be made better for these images; keep it as it is.
    """
    package = open_package(resolve(str(reference)).path)
    recipe = describe_adaptation(package, Path(images))
    return train(recipe, out, start_from=str(reference), max_minutes=minutes / recipe.members, progress=progress)


def describe_adaptation(package: Package, images: Path) -> Recipe:
    """Return the recipe by which a model is adapted: its own, with other images and short steps.

    Raises
    ------
    RecipeError
        If the package has no recipe, serves another task, or normalizes intensities in a way that does not allow it.
    """
    manifest = package.manifest
    if "recipe.yaml" not in package.names() or manifest.carezoo.converted is not None:
        raise RecipeError(
            f"{manifest.reference} has no recipe, so that its network cannot be trained further; expected a package "
            "that carezoo trained (carezoo list)"
        )
    own = Recipe.from_dict(yaml.safe_load(package.read_bytes("recipe.yaml")))
    if own.task != DENOISE.name:
        raise RecipeError(
            f"{manifest.reference} serves task {own.task}; noisy images alone teach to denoise (carezoo list)"
        )
    if own.intensity.mode != "matched":
        raise RecipeError(
            f"{manifest.reference} normalizes intensities by mode {own.intensity.mode}; models of mode matched can be "
            "adapted"
        )
    described = describe_noisy(images, depth=own.network.depth, n_axes=len(own.patches.size.by_axis))
    if len(described.data.channels) != len(own.data.channels):
        raise RecipeError(
            f"{manifest.reference} takes {len(own.data.channels)} channel(s) ({', '.join(own.data.channels)}), and the "
            f"images have {len(described.data.channels)}"
        )
    return replace(
        own,
        version=_increase_minor(manifest.version),
        description=f"{own.description.rstrip()} Adapted to noisy images.".strip()[-1024:],
        data=replace(described.data, channels=own.data.channels),
        members=manifest.carezoo.members.n if manifest.carezoo.members else 1,
        patches=replace(own.patches, size=described.patches.size),
        training=Training(
            n_epochs=EPOCHS[0],
            steps_per_epoch=EPOCHS[1],
            batch_size=4,
            learning_rate=LEARNING_RATE,
            schedule="cosine",
            max_gradient_norm=1.0,
            averaging=0.99,
            early_stop=8,
        ),
        package=Packing(pixel_size_um=own.package.pixel_size_um, ensemble_name=own.package.ensemble_name),
    )


def _increase_minor(version: str) -> str:
    """Return the next version with other weights under the same contract."""
    found = re.match(r"(\d+)\.(\d+)\.", version)
    return f"{found[1]}.{int(found[2]) + 1}.0" if found else "0.1.0"
