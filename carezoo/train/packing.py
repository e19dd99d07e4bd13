"""What is known of a trained network, put together as the draft of a package."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from carezoo.data.matching import Matching
from carezoo.data.records import FileRecord
from carezoo.evaluate import pictures
from carezoo.evaluate.scores import Evaluation
from carezoo.intensity import Affine, Operation, ScaleRange
from carezoo.package import write
from carezoo.package.draft import (
    TEST_INPUT_PATH,
    TEST_OUTPUT_PATH,
    WEIGHTS_PATH,
    Author,
    Citation,
    Constants,
    Draft,
    Percentiles,
)
from carezoo.package.own import ChannelMeaning
from carezoo.package.read import Package
from carezoo.runtime.halo import measure_halo
from carezoo.runtime.restore import Settings, restore
from carezoo.runtime.session import Session
from carezoo.train import card, measure, networks, recipe_file, report
from carezoo.train.export import OPSET
from carezoo.train.loop import Fit
from carezoo.train.networks.network import Network
from carezoo.train.peak_memory import bytes_per_pixel
from carezoo.train.prepare import Prepared
from carezoo.train.recipe import Recipe
from carezoo.train.sample import Sample, as_tiff, cut_out, tensors_of

CARE = Citation(
    "Weigert et al., Content-aware image restoration: pushing the limits of fluorescence microscopy, "
    "Nature Methods 15, 1090 (2018)",
    doi="10.1038/s41592-018-0216-7",
)

_LIBRARIES = ("torch", "lightning-fabric", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy")

Parent = tuple[str, str]
"""Name and version of the package a training started from."""


def draft(
    recipe: Recipe,
    network: Network,
    weights: bytes,
    fit: Fit,
    prepared: Prepared,
    sample: Sample,
    parent: Parent | None,
) -> Draft:
    """Measure the exported graph and describe it, without scores and pictures yet.

    Parameters
    ----------
    weights
        The exported graph of `network`.
    sample
        Image for the test tensors.

    Raises
    ------
    ParityError
        If graph and network differ.
    """
    parity = measure.measure_parity(network, weights, np.random.default_rng(recipe.seed))
    how = _normalization(recipe, prepared.matching)
    rules, factors = network.geometry.rules, network.geometry.factors
    is_undone = isinstance(how, Constants)
    tensors = tensors_of(cut_out(sample, rules), weights, network, _operations(how), is_undone=is_undone)
    return Draft(
        id=recipe.name,
        name=recipe.title or _named(recipe.name),
        version=recipe.version,
        description=recipe.description or _described(recipe),
        authors=tuple(Author(each.name, each.affiliation, each.orcid) for each in recipe.authors)
        or (Author("not named"),),
        cite=(CARE, *(Citation(each.text, each.doi, each.url) for each in recipe.cite)),
        license=recipe.license,
        timestamp=fit.trained_at,
        task=recipe.task,
        axes=network.geometry.axes,
        output_axes="".join(letter for letter in rules if letter not in network.geometry.projected),
        rules=rules,
        input_channels=recipe.data.channels,
        output_channels=_meanings(recipe, network),
        normalization=how,
        files={
            WEIGHTS_PATH: weights,
            **tensors.files((TEST_INPUT_PATH, TEST_OUTPUT_PATH)),
            "recipe.yaml": recipe.dumps().encode(),
            "training_data.csv": _table(prepared.records),
        },
        factors=factors,
        pixel_size_um=_pixel_size_um(recipe, prepared),
        opset=OPSET,
        tags=("denoising", "CARE", "fluorescence", f"{len(rules)}d", *recipe.tags),
        parent=parent,
        bytes_per_pixel=bytes_per_pixel(weights, network.n_in, list(rules.values())),
        sections={
            "parity": {"torch": parity.max_difference, "sizes": [list(sizes) for sizes in parity.sizes]},
            "fast": dict(measure.measure_fast(weights, tensors.normalized)),
            "network": _architecture(recipe, network),
            "training": _training(recipe, fit, prepared),
        },
    )


def finish(draft: Draft, package: Package, recipe: Recipe, sample: Sample, evaluation: Evaluation) -> Draft:
    """Add what only a package that runs can tell: measured halo, scores, samples, cover and card.

    Parameters
    ----------
    package
        `draft`, written and opened.
    evaluation
        Its scores on files it has not seen.
    """
    halo = measure_halo(Session(draft.files[WEIGHTS_PATH], provider="cpu"), package.manifest, np.random.default_rng(0))
    settings = Settings(provider="cpu")
    piece = cut_out(sample, draft.rules)
    whole = restore(sample.image, package, settings).mean
    files = {
        **draft.files,
        "sample_input.tif": as_tiff(piece),
        "sample_output.tif": as_tiff(restore(piece, package, settings).images["mean"]),
        "cover.png": pictures.cover(np.asarray(sample.image.array())[0], np.asarray(whole)[0]),
        "README.md": card.readme(recipe, draft, evaluation, sample).encode(),
    }
    sections = {
        **draft.sections,
        "halo_measured": {letter.lower(): size for letter, size in halo.items()},
        "scores": report.summary(evaluation),
    }
    return replace(draft, files=files, sections=sections)


def seal(draft: Draft, out: Path) -> Path:
    """Write the finished package as folder `package` and as a zip named after it, and return the zip."""
    write.write_package(draft, out / "package", overwrite=True)
    return write.write_package(draft, zip_path(out, draft.id, draft.version), overwrite=True)


def zip_path(out: Path, name: str, version: str) -> Path:
    """Return where the package of a training in `out` stands."""
    return out / f"{name}-{version}.zip"


def _named(identifier: str) -> str:
    # The format wants at least five letters.
    return identifier if len(identifier) >= 5 else f"carezoo {identifier}"


def _described(recipe: Recipe) -> str:
    channels = ", ".join(recipe.data.restored)
    return f"Content-aware restoration (CARE) of {len(recipe.spatial_axes)}D fluorescence images: {channels}."


def _normalization(recipe: Recipe, matching: Matching) -> Percentiles | Constants:
    low, high = recipe.intensity.percentiles
    if recipe.intensity.mode != "fixed":
        return Percentiles(low, high, mode=recipe.intensity.mode)
    assert matching.constants is not None  # measured for this mode
    dark, bright = matching.constants.values.T
    return Constants(tuple(map(float, dark)), tuple(map(float, bright)))


def _operations(how: Percentiles | Constants) -> tuple[Operation, ...]:
    if isinstance(how, Percentiles):
        return (ScaleRange(how.low, how.high, how.eps),)
    widths = [high - low for low, high in zip(how.low, how.high, strict=True)]
    gain = tuple(1.0 / width for width in widths)
    return (Affine(gain, tuple(-low / width for low, width in zip(how.low, widths, strict=True))),)


def _meanings(recipe: Recipe, network: Network) -> tuple[ChannelMeaning, ...]:
    """Return what the output channels are; they have the units of an input channel where there is one for each."""
    names, has_units = recipe.data.restored, len(recipe.data.restored) == len(recipe.data.channels)
    return tuple(
        ChannelMeaning(
            channel.kind,
            channel.target if has_units and channel.kind != "disagreement" else None,
            names[channel.target] + ("" if channel.kind == "mean" else f" {channel.kind}"),
        )
        for channel in network.outputs
    )


def _pixel_size_um(recipe: Recipe, prepared: Prepared) -> dict[str, float]:
    if recipe.package.pixel_size_um is not None:
        return recipe.package.pixel_size_um.by_axis
    known = prepared.parts.fit[0].source.pixel_size_um
    return {letter: float(known[letter]) for letter in recipe.spatial_axes if letter in known}


def _architecture(recipe: Recipe, network: Network) -> dict[str, Any]:
    chosen = recipe_file.plain(networks.resolved(recipe))
    return {"name": type(network).__name__, **chosen, "n_parameters": sum(p.numel() for p in network.parameters())}


def _training(recipe: Recipe, fit: Fit, prepared: Prepared) -> dict[str, Any]:
    return {
        "data": [
            {
                "name": each.name,
                "license": each.license or "not stated",
                "origin": each.origin or "not stated",
                **{part: _n_files(prepared.records, each.name, part) for part in ("fit", "choose", "report")},
            }
            for each in recipe.data.sets
        ],
        "n_steps": fit.n_steps,
        "n_epochs": fit.n_epochs,
        "best_epoch": fit.best_epoch,
        "best_validation_loss": float(f"{fit.best_loss:.6g}"),
        "precision": fit.dtype,
        "device": fit.device.partition(":")[0],
        "libraries": _versions(),
        "python": platform.python_version(),
    }


def _n_files(records: Sequence[FileRecord], dataset: str, part: str) -> int:
    return sum(each.dataset == dataset and each.part == part and each.role == "source" for each in records)


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
