"""Figures: the zoo's lean network beside CARE's default one and beside CSBDeep itself, same pairs and steps.

Everything is trained anew on the acquired pairs of two recipes, for `CAREZOO_LEAN_EPOCHS` epochs of the recipe's steps
and batch (by default a third of the recipe's), and scored on the files to report on by the paper's PSNR. CARE's default
network (depth 2, kernel 5, 32 filters) is trained by the recipe, as the lean one is; CSBDeep by its own loop with its
own defaults, in patches of its own drawing. Needs CAREZOO_DATA and, for CSBDeep, CAREZOO_CSBDEEP_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import carezoo
from benchmarks.against_csbdeep import MISSING
from benchmarks.figures import Figure
from benchmarks.models import network
from carezoo.image import Image
from carezoo.pairs.split import PairParts, split_pairs
from carezoo.train.prepare import find_acquired_pairs
from carezoo.train.recipe import Recipe
from carezoo.train.run import train

ROOT = Path(__file__).parents[1]
RECIPES = ("denoise-nuclei-confocal-2d", "denoise-bpae-2d")
DEFAULT = {"depth": 2, "kernel": 5, "n_first": 32}


def figures() -> Iterator[Figure]:
    for name in RECIPES:
        title = f"PSNR of the lean network above {{}}, {name}"
        if "CAREZOO_DATA" not in os.environ:
            yield Figure(title.format("CSBDeep"), None, at_least=-0.1, note="needs CAREZOO_DATA")
            continue
        data = os.environ["CAREZOO_DATA"]
        raw = yaml.safe_load((ROOT / "zoo" / "models" / name / "recipe.yaml").read_text("utf8"))
        training = raw["training"]
        training["n_epochs"] = int(os.environ.get("CAREZOO_LEAN_EPOCHS", training["n_epochs"] // 3))
        raw["members"], training["max_minutes"] = 1, None
        split = _split(raw, data)
        lean = _trained(raw, data, split)
        yield from _ahead_of_default(title, raw, data, split, lean)
        yield _ahead_of_csbdeep(title, training, split, lean)


def _split(raw: dict[str, Any], data: str) -> PairParts:
    recipe = Recipe.from_dict(raw)
    found = find_acquired_pairs(replace(recipe, data=replace(recipe.data, folder=data)))
    return split_pairs(found, recipe.data.sets, recipe.seed)


def _trained(raw: dict[str, Any], data: str, split: PairParts) -> float:
    """Return the mean PSNR of a recipe's model on the files to report on."""
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(yaml.safe_dump(raw), "utf8")
        model = carezoo.load(train(recipe, Path(folder, "run"), data=data))
        return _psnr([np.asarray(model.restore(_pixels(pair.source), "YX").mean) for pair in split.report], split)


def _ahead_of_default(title: str, raw: dict[str, Any], data: str, split: PairParts, lean: float) -> Iterator[Figure]:
    full = _trained({**raw, "network": {**raw["network"], **DEFAULT}}, data, split)
    note = f"{lean:.2f} against {full:.2f} dB on {len(split.report)} files, {_steps(raw['training'])}"
    yield Figure(title.format("CARE's default"), lean - full, "dB", at_least=-0.1, note=note)
    used = {key: raw["network"][key] for key in DEFAULT}
    share = _operations(**used) / _operations(**DEFAULT)
    yield Figure("operations of the lean network / CARE's default", share, at_most=0.25, note=str(used))


def _ahead_of_csbdeep(title: str, training: dict[str, Any], split: PairParts, lean: float) -> Figure:
    python = os.environ.get("CAREZOO_CSBDEEP_PYTHON")
    if python is None:
        return Figure(title.format("CSBDeep"), None, at_least=-0.1, note=MISSING)
    script = ROOT / "benchmarks" / "csbdeep" / "train_csbdeep.py"
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as folder:
        pairs, restored = Path(folder, "pairs.npz"), Path(folder, "restored.npz")
        np.savez(pairs, **_arrays(split))
        amounts = ("--epochs", "n_epochs"), ("--steps", "steps_per_epoch"), ("--batch", "batch_size")
        options = [str(each) for option, key in amounts for each in (option, training[key])]
        command = [python, str(script), str(pairs), str(restored), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        with np.load(restored) as file:
            theirs = _psnr([file[f"report_{i}"] for i in range(len(split.report))], split)
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    note = f"{lean:.2f} against {theirs:.2f} dB, {_steps(training)}, CSBDeep in {seconds:.0f} s"
    return Figure(title.format("CSBDeep"), lean - theirs, "dB", at_least=-0.1, note=note)


def _arrays(split: PairParts) -> dict[str, np.ndarray[Any, Any]]:
    parts = {"fit": split.fit, "choose": split.choose, "report": split.report}
    return {
        f"{part}_{end}_{i}": _pixels(getattr(pair, end))
        for part, pairs in parts.items()
        for i, pair in enumerate(pairs)
        for end in ("source", "target")
    }


def _pixels(image: Image) -> np.ndarray[Any, Any]:
    (plane,) = image.array().reshape(-1, *image.shape[-2:])
    return plane


def _psnr(restored: list[np.ndarray[Any, Any]], split: PairParts) -> float:
    scores = [carezoo.score(image, _pixels(pair.target)) for image, pair in zip(restored, split.report, strict=True)]
    return float(np.mean([score.psnr_db for score in scores]))


def _steps(training: dict[str, Any]) -> str:
    return f"{training['n_epochs'] * training['steps_per_epoch']} steps of {training['batch_size']} patches"


def _operations(depth: int, kernel: int, n_first: int) -> int:
    """Return the multiplications of all convolutions on an image of 256 x 256 pixels."""
    counted = []

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(module, torch.nn.Conv2d)
        counted.append(module.weight.numel() * output[0, 0].numel())

    unet = network("YX", depth, kernel, n_first)
    hooks = [each.register_forward_hook(count) for each in unet.modules() if isinstance(each, torch.nn.Conv2d)]
    with torch.no_grad():
        unet(torch.zeros(1, 1, 256, 256))
    for hook in hooks:
        hook.remove()
    return sum(counted)
