"""A model folder of CSBDeep: which files count, which of CSBDeep's classes it was, and what a user has to say of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from carezoo.errors import ConversionError
from carezoo.tasks import DENOISE, ISOTROPIC, PROJECT, TASKS, UPSAMPLE
from carezoo.train.convert.config import Config, read

CLASSES = {task.csbdeep: task.name for task in TASKS.values()}
"""CSBDeep's classes by their names, and what carezoo calls what they do."""

_HOW_TO_GET_WEIGHTS = (
    "TensorFlow's exported graph cannot be converted. Convert the folder in which CSBDeep trained the model instead: "
    "it holds config.json and weights_best.h5, and the export was made from it (model.export_TF). If only "
    "the export is left, ask those who trained the model for that folder"
)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a model folder does not say."""

    task: str | None = None
    """What the model does, where config.json leaves a choice; None: CARE, or what a factor implies."""
    factor: Fraction | None = None
    """Output planes for one input plane: the `factor` given to CSBDeep's predict. Isotropic and upsampling only."""
    weights: str | None = None
    """Name of the file of weights; None: the best ones, as CSBDeep chooses."""
    percentiles: tuple[float, float] = (2.0, 99.8)
    """Of the normalizer given to CSBDeep's predict."""
    name: str | None = None
    """Name of the package; None: from the folder."""
    version: str = "0.1.0"
    description: str = ""
    authors: tuple[str, ...] = ()
    license: str = "CC-BY-4.0"
    """SPDX identifier."""
    channels: tuple[str, ...] = ()
    """Names of the input channels; empty: signal, or numbers."""
    target_channels: tuple[str, ...] = ()
    """Names of the restored channels; empty: those of the input, or numbers."""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    """Of the images the model is made for, by axis letter."""
    sample: Path | None = None
    """Image for test tensors and cover; None: a simulated one."""
    sample_axes: str | None = None
    """Axes of its file; None: from its metadata."""
    sample_license: str = ""
    """Licence of the image."""


@dataclass(frozen=True)
class ModelFolder:
    """What was found."""

    path: Path
    config: Config
    weights: Path
    task: str
    is_certain: bool
    """False: nothing in the folder says whether interpolation belongs to the model; CARE was assumed."""

    @property
    def class_name(self) -> str:
        """CSBDeep's name of the class."""
        return TASKS[self.task].csbdeep


def find(path: Path, choices: Choices) -> ModelFolder:
    """Look at a model folder; `choices` decide what it leaves open.

    Raises
    ------
    ConversionError
        If a file is missing, or the folder is not a model folder of CSBDeep.
    """
    _check_is_model_folder(path)
    config = read(path / "config.json")
    said = _said_by_export(path)
    possible = _possible(config)
    has_factor = choices.factor is not None  # which only models with interpolation have
    guess = possible[-1] if has_factor else possible[0]
    chosen = choices.task or (said if said and said in possible else guess)
    if chosen not in possible:
        raise ConversionError(
            f"{path}: asked for {chosen}, but config.json describes a {len(config.axes)}D network "
            f"{'with' if config.surface else 'without'} projection, which can only be used to {' or '.join(possible)}"
        )
    if has_factor and not TASKS[chosen].has_factor:
        raise ConversionError(f"{path}: a model to {chosen} has no factor; leave it out")
    is_certain = choices.task is not None or said is not None or has_factor or len(possible) == 1
    return ModelFolder(path, config, _weights(path, choices.weights, config), chosen, is_certain)


def _check_is_model_folder(path: Path) -> None:
    if path.is_file():
        if path.suffix == ".zip" and _is_saved_model(path):
            raise ConversionError(f"{path}: {_HOW_TO_GET_WEIGHTS}")
        raise ConversionError(
            f"{path} is a file; expected the folder in which CSBDeep trained a model, with config.json and "
            "weights_best.h5" + (". Unpack the zip first" if path.suffix == ".zip" else "")
        )
    if not path.is_dir():
        raise ConversionError(f"{path}: no such folder; expected one with config.json and weights_best.h5")
    if (path / "config.json").is_file():
        return
    if (path / "saved_model.pb").exists():
        raise ConversionError(f"{path}: {_HOW_TO_GET_WEIGHTS}")
    inside = sorted(each.parent.name for each in path.glob("*/config.json"))
    hint = f". There are model folders inside: {', '.join(inside[:5])}" if inside else ""
    raise ConversionError(f"{path} has no config.json; expected a folder in which CSBDeep trained a model{hint}")


def _is_saved_model(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("saved_model.pb") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _said_by_export(path: Path) -> str | None:
    """Return the task by the class that an export beside the weights names; the folder itself does not."""
    try:
        with zipfile.ZipFile(path / "TF_SavedModel.zip") as archive:
            meta = json.loads(archive.read("meta.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return CLASSES.get(str(meta.get("type"))) if isinstance(meta, dict) else None


def _possible(config: Config) -> tuple[str, ...]:
    if config.surface is not None:
        return (PROJECT.name,)
    return (DENOISE.name, ISOTROPIC.name if len(config.axes) == 2 else UPSAMPLE.name)


def _weights(path: Path, name: str | None, config: Config) -> Path:
    """Return the named file of weights, or the one that CSBDeep takes: the best ones, else the newest."""
    if name is not None:
        if not (path / name).is_file():
            raise ConversionError(f"{path / name}: no such file; it holds {_format_list(path)}")
        return path / name
    found = sorted(path.glob("*.h5"), key=lambda each: each.stat().st_mtime, reverse=True)
    found.sort(key=lambda each: "best" not in each.name)
    best = str(config.values.get("train_checkpoint") or "weights_best.h5")
    if not found:
        raise ConversionError(
            f"{path} has no weights: expected {best} or another .h5 file; it holds {_format_list(path)}"
        )
    return found[0]


def _format_list(path: Path) -> str:
    names = sorted(each.name for each in path.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
