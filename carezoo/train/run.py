"""The conductor: a recipe in, a package out."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from carezoo.errors import MissingExtraError, RecipeError, TrainError

try:
    import torch
except ImportError as error:
    raise MissingExtraError.of("torch", "train", "to train models") from error

from carezoo.evaluate.pictures import curves
from carezoo.files.atomic import replacing
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry import embedded
from carezoo.runtime.check import check
from carezoo.train import checkpoint, history, loop, networks, packing, recipe_file, report
from carezoo.train.export import load_weights, to_onnx
from carezoo.train.networks.network import Network
from carezoo.train.packing import Parent
from carezoo.train.prepare import prepare
from carezoo.train.progress import Progress
from carezoo.train.recipe import Recipe
from carezoo.train.sample import choose_sample

log = logging.getLogger("carezoo")

RECIPE, PARENT = "recipe.yaml", "parent.json"

MAY_CHANGE = (
    *("name", "version", "title", "description", "authors", "license", "cite", "tags", "package"),
    *("training.n_epochs", "training.max_minutes", "training.early_stop", "training.n_workers"),
)
"""Parts of a recipe that a continued training may have otherwise: words, and how long it goes on."""


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    start_from: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model and pack it.

    Parameters
    ----------
    recipe
        The recipe, or its file.
    out
        Folder of the training. It gets `recipe.yaml`, `log.csv`, `curves.png`, `tensorboard`, `checkpoints`, `cache`
        (decoded images; may be deleted), `report` (scores and pictures), `package`, and the package as a zip.
    data
        Where relative paths of a recipe file start, instead of its own choice.
    resume
        Continue the training in `out`; without a checkpoint there, begin.
    max_minutes
        Stop training after this time and pack the best checkpoint, instead of the recipe's choice.
    start_from
        Name or path of a package whose weights the training starts from.
    progress
        Called after each training step.

    Returns
    -------
    Path
        The zip. There is none, and no folder `package`, unless every check was passed.

    Raises
    ------
    TrainError
        RecipeError, DataError, DivergedError or ParityError; or `out` holds another training.
    CheckError
        If the package does not do what it says.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, data)
    out = Path(out)
    _begin(recipe, out, resume=resume)
    settings = recipe.training if max_minutes is None else dataclasses.replace(recipe.training, max_minutes=max_minutes)
    prepared = prepare(recipe, out / "cache")
    sample = choose_sample(recipe, prepared.parts)
    torch.manual_seed(recipe.seed)
    network = networks.build(recipe)
    parent = _start_from(network, start_from, out)
    fit = loop.fit(network, prepared.data, settings, out, resume=resume, progress=progress)
    target = packing.zip_path(out, recipe.name, recipe.version)
    if not fit.is_first_process:
        return target
    curves(history.read(out), out / "curves.png")
    weights = to_onnx(network)
    draft = packing.draft(recipe, network, weights, fit, prepared, sample, parent)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=out) as scratch:
        package = open_package(write_package(draft, Path(scratch, "draft")))
        evaluation = report.evaluate(package, prepared.parts.report, recipe.spatial_axes, out / "report")
        finished = packing.finish(draft, package, recipe, sample, evaluation)
        check(open_package(write_package(finished, Path(scratch, "finished")))).raise_if_failed()
    log.info("mean PSNR gain on %d report image(s): %.2f dB", len(evaluation.files), evaluation.psnr_gain_db)
    return packing.seal(finished, out)


def _begin(recipe: Recipe, out: Path, *, resume: bool) -> None:
    """Write the recipe into the folder of the training, unless that would mix two trainings."""
    kept = out / RECIPE
    if checkpoint.exists(out / checkpoint.FOLDER):
        if not resume:
            raise TrainError(f"{out} holds a training; continue it with --resume, or choose another folder")
        before, now = (dict(_flat(values)) for values in (recipe_file.read(kept), recipe.to_dict()))
        other = [key for key in now if now[key] != before.get(key) and not key.startswith(MAY_CHANGE)]
        if other:
            told = ", ".join(f"{key} ({before.get(key)} there, {now[key]} now)" for key in other[:5])
            raise RecipeError(
                f"the training in {out} was begun with another recipe: {told}; change it back, or train into another "
                "folder"
            )
    out.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as temporary:
        temporary.write_text(recipe.dumps(), encoding="utf-8")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _start_from(network: Network, reference: str | None, out: Path) -> Parent | None:
    """Give `network` the weights of a package, and remember for a continued training which one that was."""
    kept = out / PARENT
    if reference is not None:
        package = open_package(embedded.resolve(reference))
        load_weights(network, package)
        with replacing(kept) as temporary:
            temporary.write_text(json.dumps([package.manifest.id, package.manifest.version]), encoding="utf-8")
    if not kept.exists():
        return None
    name, version = json.loads(kept.read_text(encoding="utf-8"))
    return name, version
