"""What is known of a trained network, put together as the draft of a package."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from carezoo.evaluate.findings import Findings
from carezoo.package.draft import Author, Constants, Draft, Percentiles
from carezoo.package.manifest import Architecture, Calibration, DataSource, FitSummary, Record, TrainingSummary
from carezoo.package.read import Package
from carezoo.pairs.find import Pair
from carezoo.pairs.intensity import Matching
from carezoo.pairs.section import FileSet
from carezoo.pairs.split import PARTS
from carezoo.schema.build import to_plain
from carezoo.simulate.sets import SimulatedSet
from carezoo.tasks import DENOISE, TASKS
from carezoo.train import networks
from carezoo.train.calibrate import calibrate
from carezoo.train.loop import Fit
from carezoo.train.networks.ensemble import Ensemble
from carezoo.train.networks.graph import OPSET
from carezoo.train.networks.network import Network
from carezoo.train.pack import card, draft_tools, report
from carezoo.train.pack.estimates import Estimates
from carezoo.train.pack.records import FileRecord
from carezoo.train.pack.sample import SampleImage, cut_out, take_from_pair
from carezoo.train.prepare import Prepared, training_images
from carezoo.train.recipe import Recipe

_LIBRARIES = ("torch", "lightning-fabric", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy")

_LONGEST_NAME, _ENSEMBLE = 128, " ensemble"
"""The format's limit for names, and what is added to the name of a model with several members."""

Parent = tuple[str, str]
"""Name and version of the package a training started from."""


@dataclass(frozen=True)
class TrainedModel:
    """What a training has made."""

    name: str
    """Of the package."""
    cores: tuple[Network, ...]
    """Members with the best weights; one, or those of an ensemble."""
    fits: tuple[Fit, ...]
    """How the training of each went."""
    parent: Parent | None
    """What it started from."""


def name_of(recipe: Recipe, n_members: int) -> str:
    """Return the name of the package with so many members."""
    return recipe.name if n_members == 1 else recipe.package.ensemble_name or f"{recipe.name}-ensemble"


def draft_package(recipe: Recipe, model: TrainedModel, prepared: Prepared, sample: SampleImage) -> Draft:
    """Calibrate and export the network, measure the graph and describe it, without scores and pictures yet.

    Raises
    ------
    ParityError
        If graph and network differ.
    """
    calibration = calibrate(
        [networks.build_trained(recipe, core) for core in model.cores], model.cores, prepared.choose
    )
    network = networks.build_packed(recipe, model.cores)
    how = _normalization(recipe, prepared.matching)
    is_ensemble = len(model.cores) > 1
    title = recipe.title or draft_tools.title(recipe.name)
    described = Draft(
        id=model.name,
        name=f"{title[: _LONGEST_NAME - len(_ENSEMBLE)]}{_ENSEMBLE}" if is_ensemble else title,
        version=recipe.version,
        description=recipe.description or _describe(recipe),
        authors=recipe.authors or (Author("not named"),),
        cite=(draft_tools.CARE, *recipe.cite),
        license=recipe.license,
        timestamp=max(fit.trained_at for fit in model.fits),
        task=recipe.task,
        axes=network.geometry.axes,
        output_axes=network.geometry.output_axes,
        rules=network.geometry.rules,
        input_channels=recipe.data.channels,
        output_channels=draft_tools.meanings(network, recipe.data.restored),
        normalization=how,
        files={"recipe.yaml": recipe.dumps().encode(), "training_data.csv": _table(prepared.records)},
        factors=network.geometry.factors,
        pixel_size_um=_pixel_size_um(recipe, prepared, sample),
        opset=OPSET,
        tags=(*TASKS[recipe.task].tags, "CARE", "fluorescence", f"{len(network.geometry.axes)}d", *recipe.tags),
        parent=model.parent,
        n_members=len(model.cores) if is_ensemble else None,
        record=Record(
            network=_architecture(recipe, model),
            training=_training(recipe, model, prepared),
            training_images=training_images(recipe, prepared),
            calibration=_round(calibration) if calibration else None,
        ),
    )
    return draft_tools.export_and_measure(
        described, network, cut_out(sample, network.geometry.rules, network.geometry.factors), recipe.seed
    )


def choose_scored(
    draft: Draft, recipe: Recipe, model: TrainedModel, pairs: Sequence[Pair]
) -> tuple[Draft, tuple[Pair, ...]]:
    """Return what is scored, and on which pairs.

    That is `draft` itself, on pairs of images it takes and gives. Where all pairs are of the kind that a part of it was
    trained on (task isotropic, slices), it is that part.
    """
    fitting = tuple(pair for pair in pairs if recipe.model_axes.fits(pair.source.sizes, pair.target.sizes))
    if fitting:
        return draft, fitting
    network = model.cores[0] if len(model.cores) == 1 else Ensemble(model.cores)
    geometry = network.geometry
    alone = replace(
        draft,
        id=f"{draft.id}-slices",
        task=DENOISE.name,
        axes=geometry.axes,
        output_axes=geometry.output_axes,
        rules=geometry.rules,
        factors=geometry.factors,
        pixel_size_um={},
    )
    piece = cut_out(take_from_pair(pairs[0], recipe.pair_axes), geometry.rules, geometry.factors)
    return draft_tools.add_graph(alone, network, piece)[0], tuple(pairs)


def finish(
    draft: Draft, package: Package, recipe: Recipe, sample: SampleImage, evaluation: Findings | Estimates | None
) -> Draft:
    """Add what only a package that runs shows (`draft`, written and opened): halo, scores, samples, cover and card.

    `evaluation` is None where no file could be scored.
    """
    finished = draft_tools.add_samples(draft, package, sample)
    readme = card.readme(recipe, draft, evaluation, sample).encode()
    record = finished.record
    if isinstance(evaluation, Findings):
        record = replace(record, scores=report.summary(evaluation))
    if isinstance(evaluation, Findings) and (coverage := report.coverage(evaluation)):
        record = replace(record, calibration=replace(record.calibration or Calibration(), coverage=coverage))
    return replace(finished, files={**finished.files, "README.md": readme}, record=record)


def _describe(recipe: Recipe) -> str:
    channels, axes = ", ".join(recipe.data.restored), len(recipe.spatial_axes)
    return f"{TASKS[recipe.task].verb} {axes}D fluorescence images: {channels}. Content-aware restoration (CARE)."


def _normalization(recipe: Recipe, matching: Matching) -> Percentiles | Constants:
    low, high = recipe.intensity.percentiles
    if recipe.intensity.mode != "fixed":
        return Percentiles(low, high, mode=recipe.intensity.mode)
    assert matching.constants is not None  # measured for this mode
    dark, bright = matching.constants.values.T
    return Constants(tuple(map(float, dark)), tuple(map(float, bright)))


def _pixel_size_um(recipe: Recipe, prepared: Prepared, sample: SampleImage) -> dict[str, float]:
    if recipe.package.pixel_size_um is not None:
        return recipe.package.pixel_size_um.by_axis
    pair, axes = prepared.parts.report[0], recipe.model_axes
    known = (pair.source if axes.fits(pair.source.sizes, pair.target.sizes) else sample.image).pixel_size_um
    return {letter: float(known[letter]) for letter in axes.source if letter in known}


def _architecture(recipe: Recipe, model: TrainedModel) -> Architecture:
    chosen, core = to_plain(networks.resolve_section(recipe)), model.cores[0]
    n_parameters = sum(p.numel() for each in model.cores for p in each.parameters())
    if not TASKS[recipe.task].is_projecting:
        del chosen["projection"]
    if not TASKS[recipe.task].model_axes:
        del chosen["merge"]
    return Architecture(type(core).__name__, chosen, n_parameters)


def _training(recipe: Recipe, model: TrainedModel, prepared: Prepared) -> TrainingSummary:
    last = model.fits[-1]
    return TrainingSummary(
        data=tuple(_source(each, prepared) for each in recipe.data.every_set),
        members=tuple(
            FitSummary(
                n_steps=fit.n_steps,
                n_epochs=fit.n_epochs,
                best_epoch=fit.best_epoch,
                best_validation_loss=float(f"{fit.best_loss:.6g}"),
            )
            for fit in model.fits
        ),
        precision=last.dtype,
        device=last.device.partition(":")[0],
        libraries=_versions(),
        python=platform.python_version(),
    )


def _round(calibration: Calibration) -> Calibration:
    return replace(
        calibration,
        factor=float(f"{calibration.factor:.6g}"),
        nll_before=float(f"{calibration.nll_before:.6g}"),
        nll=float(f"{calibration.nll:.6g}"),
    )


def _source(each: FileSet | SimulatedSet, prepared: Prepared) -> DataSource:
    n_files, words = _parts(each, prepared.records)
    if isinstance(each, FileSet) and each.is_noisy:
        words += f"; noisy images alone, target {each.target[0]}, {_describe_noise(each, prepared)}"
    return DataSource(
        name=each.name,
        license=each.license or "not stated",
        origin=each.origin or "not stated",
        n_files=n_files,
        parts=words,
    )


def _parts(each: FileSet | SimulatedSet, records: Sequence[FileRecord]) -> tuple[dict[str, int], str]:
    """Return how much of a set served for what, as numbers and in words."""
    mine = [record for record in records if record.dataset == each.name]
    files: dict[str, int] = {part: sum(one.part == part and one.role == "source" for one in mine) for part in PARTS}
    if isinstance(each, FileSet):
        words = f"{files['fit']} files to fit, {files['choose']} to choose on, {files['report']} to report on"
        words += f"; sources are averages of {each.average} frames" if each.average > 1 else ""
        return files, words
    n_clean = len({record.sha256 for record in mine if record.role == "clean"})
    made = f"pairs degraded from {n_clean} clean image(s)" if n_clean else "simulated pairs"
    words = f"{made}, made anew while training to fit, {each.n_choose} to choose on, {each.n_report} to report on"
    return {"choose": each.n_choose, "report": each.n_report}, words


def _describe_noise(each: FileSet, prepared: Prepared) -> str:
    """Return the noise that a set was trained with, in words."""
    noisy = next(pair.noisy for _, pair in prepared.parts.all() if pair.dataset == each.name)
    assert noisy is not None  # of a set of noisy images
    channels = (
        f"gain {noise.gain:.4g}, offset {noise.offset:.4g} grey levels, read noise {noise.read_noise:.3g} electrons"
        for noise in noisy.noise
    )
    return f"noise {'measured' if each.noise is None else 'as given'}: {'; '.join(channels)}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):  # ONNX Runtime comes in two wheels
            found[name] = version(name)
    return found


def _table(records: Sequence[FileRecord]) -> bytes:
    """Return which files the model was made from: `training_data.csv`."""
    text = io.StringIO()
    rows: list[Mapping[str, Any]] = [dataclasses.asdict(each) for each in records]
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(FileRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
