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
from carezoo.registry.resolve import resolve
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
    member: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model and pack it.

    Parameters
    ----------
    recipe
        The recipe, or its file.
    out
        Folder of the training. It gets `recipe.yaml`, `log.csv`, `curves.png`, `tensorboard`, `checkpoints`, `cache`
        (decoded images; may be deleted), `report` (scores and pictures), `package`, and the package as a zip. Of an
        ensemble every member has a folder `member-N` with its log, curves and checkpoints.
    data
        Where relative paths of a recipe file start, instead of its own choice.
    resume
        Continue the training in `out`; without a checkpoint there, begin. Members that are trained stay as they are,
        and more of them may be asked for than before.
    max_minutes
        Stop training each member after this time and pack the best checkpoint, instead of the recipe's choice.
    start_from
        Name or path of a package whose weights the training starts from.
    member
        Number of the one member (from 1) to train, unless it is trained already, and to pack on its own under the
        recipe's name; None: all of them, packed as one ensemble.
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
    numbers = _numbers(recipe, member)
    _begin(recipe, out, numbers, is_continued=resume or member is not None)
    settings = recipe.training if max_minutes is None else dataclasses.replace(recipe.training, max_minutes=max_minutes)
    prepared = prepare(recipe, out / "cache")
    sample = choose_sample(recipe, prepared.parts)
    parent = _parent(start_from, out)
    cores, fits = [], []
    for number in numbers:
        folder = members.folder_of(out, number, recipe.members)
        torch.manual_seed(members.seed_of(recipe.seed, number))
        core = networks.core(recipe)
        if parent is not None:
            load_weights(core, parent, number)
        if len(numbers) > 1:
            log.info("member %d of %d", number, len(numbers))
        patches = members.data_of(prepared.data, number)
        resume_it = resume or member is not None
        fit = loop.fit(networks.trained(recipe, core), patches, settings, folder, resume=resume_it, progress=progress)
        if fit.is_first_process:
            curves(history.read(folder), folder / "curves.png")
        cores.append(core)
        fits.append(fit)
    model = packing.Model(packing.name_of(recipe, len(cores)), cores, fits, parent and _reference(parent))
    is_part = len(numbers) < recipe.members
    folder = out / f"member-{numbers[0]}" if is_part else out
    target = packing.zip_path(out, model.name, recipe.version)
    return _pack(recipe, model, prepared, sample, folder, target) if fits[0].is_first_process else target


def _pack(
    recipe: Recipe, model: Model, prepared: Prepared, sample: Sample, folder: Path, target: Path
) -> Path:
    """Export, measure, restore the report files, check; then write `package` and `report` in `folder`, and the zip."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = packing.draft(recipe, model, prepared, sample)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=folder) as scratch:
        package = open_package(write_package(draft, Path(scratch, "draft")))
        judged = packing.judged(draft, recipe, model, prepared)
        scored = package if judged is draft else open_package(write_package(judged, Path(scratch, "judged")))
        evaluation = report.evaluate(scored, prepared.parts.report, recipe.pair_axes, folder / "report")
        finished = packing.finish(draft, package, recipe, sample, evaluation)
        check(open_package(write_package(finished, Path(scratch, "finished")))).raise_if_failed()
    log.info("mean PSNR gain on %d report image(s): %.2f dB", len(evaluation.files), evaluation.psnr_gain_db)
    return packing.seal(finished, folder / "package", target)


def _numbers(recipe: Recipe, member: int | None) -> list[int]:
    if member is None:
        return list(range(1, recipe.members + 1))
    if not 1 <= member <= recipe.members:
        raise RecipeError(f"member {member}: the recipe has members: {recipe.members}, counted from 1")
    return [member]


def _begin(recipe: Recipe, out: Path, numbers: Sequence[int], *, is_continued: bool) -> None:
    """Write the recipe into the folder of the training, unless that would mix two trainings."""
    kept = out / RECIPE
    if any(members.exists(out, number, recipe.members) for number in range(1, recipe.members + 1)):
        if not is_continued:
            raise TrainError(f"{out} holds a training; continue it with --resume, or choose another folder")
        # Through Recipe: what later versions have added is at its default there.
        before, now = (dict(_flat(each.to_dict())) for each in (Recipe.load(kept), recipe))
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


def _parent(reference: str | None, out: Path) -> Package | None:
    """Return the package whose weights the training starts from, and remember it for when it is continued."""
    kept = out / PARENT
    if reference is not None:
        package = open_package(resolve(reference).path)
        with replacing(kept) as temporary:
            temporary.write_text(json.dumps([package.manifest.id, package.manifest.version]), encoding="utf-8")
        return package
    return None
