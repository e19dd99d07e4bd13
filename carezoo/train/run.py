"""The conductor: a recipe in, a package out."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from carezoo.errors import DataError, InputError, MissingExtraError, RecipeError, TrainError

try:
    import torch
except ImportError as error:
    raise MissingExtraError.of("torch", "train", "to train models") from error

from carezoo.check.run import check
from carezoo.evaluate.findings import Findings
from carezoo.evaluate.report.page import headline
from carezoo.files.atomic import replacing
from carezoo.package.read import Package, open_package
from carezoo.package.write import write_package
from carezoo.pairs import registration
from carezoo.pairs.find import Pair
from carezoo.pictures.before_after import curves
from carezoo.progress import Progress
from carezoo.registry.resolve import resolve
from carezoo.train import checkpoint, history, loop, networks
from carezoo.train.batches import Batch
from carezoo.train.export import load_weights
from carezoo.train.loop import TrainingData
from carezoo.train.networks.network import Network
from carezoo.train.pack import report
from carezoo.train.pack.estimates import estimate
from carezoo.train.pack.sample import SampleImage, choose_sample
from carezoo.train.pack.write import TrainedModel, choose_scored, draft_package, finish, name_of
from carezoo.train.prepare import Prepared, list_known_relations, prepare
from carezoo.train.recipe import Recipe

log = logging.getLogger("carezoo")

RECIPE, PARENT = "recipe.yaml", "parent.json"

MAY_CHANGE = (
    *("name", "version", "title", "description", "authors", "license", "cite", "tags", "package"),
    *("training.n_epochs", "training.max_minutes", "training.early_stop", "training.n_workers", "members"),
)
"""Parts of a recipe that a continued training may have otherwise: words, and how long it goes on."""

MOST_STEPS = 10**9
"""A training that is longer would draw the patches of the next member."""


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
        Folder of the training. It gets `recipe.yaml`, `registration.csv` (how acquired pairs match), `log.csv`,
        `curves.png`, `tensorboard`, `examples`, `checkpoints`, `cache` (decoded images; may be deleted), `report` (a
        page with scores, curves and pictures), `package`, and the package as a zip. Of an ensemble every member has a
        folder `member-N` with its log, curves, examples and checkpoints.
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
        RecipeError, DataError, DivergedError, NoGainError or ParityError; or `out` holds another training.
    CheckError
        If the package does not do what it says.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, data)
    out = Path(out)
    numbers = _list_numbers(recipe, member)
    is_continued = resume or member is not None
    _begin(recipe, out, is_continued=is_continued)
    settings = recipe.training if max_minutes is None else replace(recipe.training, max_minutes=max_minutes)
    prepared = prepare(recipe, out / "cache")
    if prepared.registration:
        registration.write_table(prepared.registration, out / "registration.csv")
    sample = choose_sample(recipe, prepared.parts)
    start = _find_start(start_from, out)
    # Noisy images measure both: the weights to start from are kept unless others are better.
    is_tuning = start is not None and recipe.data.is_noisy
    folders = {number: _folder_of(out, number, recipe.members) for number in numbers}
    cores, fits = [], []
    for number, folder in folders.items():
        if len(numbers) > 1:
            log.info("member %d of %d, in %s", number, len(numbers), folder)
        core = _make_core(recipe, number, folder, start)
        network, patches = networks.build_trained(recipe, core), _patches_of(prepared.data, number)
        fit = loop.fit(network, patches, settings, folder, resume=is_continued, is_tuning=is_tuning, progress=progress)
        if fit.is_first_process:
            curves(history.read(folder), folder / "curves.png")
        cores.append(core)
        fits.append(fit)
    name = name_of(recipe, len(cores))
    model = TrainedModel(name, tuple(cores), tuple(fits), (start.name, start.version) if start else None)
    target = out / f"{name}-{recipe.version}.zip"
    if fits[0].is_first_process:
        packed = out if len(numbers) == recipe.members else out / f"member-{numbers[0]}"
        parent = open_package(resolve(start.reference).path) if start and is_tuning else None
        _pack(recipe, model, prepared, sample, list(folders.values()), packed, target, parent)
    return target


def _pack(
    recipe: Recipe,
    model: TrainedModel,
    prepared: Prepared,
    sample: SampleImage,
    logs: Sequence[Path],
    folder: Path,
    target: Path,
    parent: Package | None,
) -> None:
    """Export, measure, restore the report files, check; then write `package` and `report` in `folder`, and the zip.

    `parent` is what a training with noisy images alone started from, and what its errors are compared with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = draft_package(recipe, model, prepared, sample)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=folder) as scratch:
        package = open_package(write_package(draft, Path(scratch, "draft")))
        judged, pairs = choose_scored(draft, recipe, model, prepared.parts.report)
        scored = package if judged is draft else open_package(write_package(judged, Path(scratch, "judged")))
        is_noisy = recipe.data.is_noisy
        estimates = estimate(package, prepared.parts.report, parent) if is_noisy else None
        if estimates:
            log.info("%s", estimates.model.verdict)
            estimates.require_gain()
        evaluation = None if is_noisy else _evaluate(recipe, prepared, scored, pairs)
        if evaluation:
            log.info(
                "%s See %s", headline(evaluation), report.write_training(evaluation, draft, folder / "report", logs)
            )
        finished = finish(draft, package, recipe, sample, estimates or evaluation)
        check(open_package(write_package(finished, Path(scratch, "finished")))).raise_if_failed()
    write_package(finished, folder / "package", overwrite=True)
    write_package(finished, target, overwrite=True)


def _evaluate(recipe: Recipe, prepared: Prepared, package: Package, pairs: Sequence[Pair]) -> Findings | None:
    """Return the scores of a package; None where there are none: what was trained is packed all the same."""
    try:
        return report.evaluate(package, pairs, list_known_relations(recipe, prepared, pairs))
    except (InputError, DataError) as error:
        log.warning(
            "the package has no scores, because no file to report on could be scored (%s); name others in split.report "
            "and continue with --resume, which packs again",
            error,
        )
        return None


def _list_numbers(recipe: Recipe, member: int | None) -> list[int]:
    if member is None:
        return list(range(1, recipe.members + 1))
    if not 1 <= member <= recipe.members:
        raise RecipeError(f"member {member}: the recipe has members: {recipe.members}, counted from 1")
    return [member]


def _begin(recipe: Recipe, out: Path, *, is_continued: bool) -> None:
    """Write the recipe into the folder of the training, unless that would mix two trainings."""
    kept = out / RECIPE
    if any(_has_begun(out, number, recipe.members) for number in range(1, recipe.members + 1)):
        if not is_continued:
            raise TrainError(f"{out} holds a training; continue it with --resume, or choose another folder")
        # Through Recipe: what later versions have added is at its default there.
        before, now = (dict(_flatten(_list_decisive(each))) for each in (Recipe.load(kept), recipe))
        other = [key for key in {**now, **before} if now.get(key) != before.get(key) and not key.startswith(MAY_CHANGE)]
        if other:
            told = ", ".join(f"{key} ({before.get(key)} there, {now.get(key)} now)" for key in other[:5])
            raise RecipeError(
                f"the training in {out} was begun with another recipe: {told}; change it back, or train into another "
                "folder"
            )
    else:
        (out / PARENT).unlink(missing_ok=True)  # of a training that failed before its first checkpoint
    out.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as temporary:
        temporary.write_text(recipe.dumps(), encoding="utf-8")


def _list_decisive(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe without what neither fits nor chooses the weights: words, and files to report on."""
    values = recipe.to_dict()
    for each in (*values["data"]["sets"], *values["data"]["simulated"]):
        for key in ("license", "origin", "n_report", "accept"):
            each.pop(key, None)
    for each in values["data"]["sets"]:
        if each["split"]["fit"]:  # else every file that leaves the report would be fitted to
            del each["split"]["report"]
    return values


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            for i, each in enumerate(value):
                yield from _flatten(each, f"{prefix}{key}[{i}].")
        else:
            yield f"{prefix}{key}", value


@dataclass(frozen=True)
class _Start:
    """The package whose weights a training starts from."""

    name: str
    version: str
    reference: str = ""
    """What the user called it; members that are trained later start from it, too."""


def _find_start(reference: str | None, out: Path) -> _Start | None:
    """Return where the training starts from, now or when it was begun."""
    kept = out / PARENT
    if reference is not None:
        manifest = open_package(resolve(reference).path).manifest
        with replacing(kept) as temporary:
            temporary.write_text(json.dumps([manifest.id, manifest.version, reference]), encoding="utf-8")
    return _Start(*json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else None


def _folder_of(out: Path, number: int, n_members: int) -> Path:
    """Return the folder of a member, counted from 1, with its checkpoints and log.

    The only member of a run has no folder of its own, and stays where it is if others are trained later.
    """
    own = out / f"member-{number}"
    began_alone = checkpoint.exists(out / checkpoint.FOLDER)
    is_in_run = number == 1 and (began_alone or n_members == 1) and not checkpoint.exists(own / checkpoint.FOLDER)
    return out if is_in_run else own


def _has_begun(out: Path, number: int, n_members: int) -> bool:
    """Whether the training of a member has begun."""
    return checkpoint.exists(_folder_of(out, number, n_members) / checkpoint.FOLDER)


def _make_core(recipe: Recipe, number: int, folder: Path, start: _Start | None) -> Network:
    """Return a member's network with its initial weights: its own, or those of the package that it starts from."""
    own = np.random.SeedSequence(recipe.seed, spawn_key=(number,)).generate_state(1)[0]
    torch.manual_seed(recipe.seed if number == 1 else int(own))
    core = networks.core(recipe)
    if start and not checkpoint.exists(folder / checkpoint.FOLDER):
        load_weights(core, open_package(resolve(start.reference).path), number)
    return core


def _patches_of(data: TrainingData, number: int) -> TrainingData:
    """Return what a member is fitted to: patches of its own, and the validation patches of all."""
    shift = (number - 1) * MOST_STEPS

    def batches(steps: range, rank: int, n_ranks: int) -> Iterable[Batch]:
        return data.batches(range(steps.start + shift, steps.stop + shift), rank, n_ranks)

    return replace(data, batches=batches)
