"""A model folder of CSBDeep: which files count, and which of CSBDeep's classes it was."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from carezoo.errors import ConversionError
from carezoo.tasks import DENOISE, ISOTROPIC, PROJECT, TASKS, UPSAMPLE
from carezoo.train.convert import config as config_
from carezoo.train.convert.config import Config

CLASSES = {task.csbdeep: task.name for task in TASKS.values()}
"""CSBDeep's classes by their names, and what carezoo calls what they do."""

_HOW_TO_GET_WEIGHTS = (
    "TensorFlow's exported graph cannot be converted. Convert the folder in which CSBDeep trained the model instead: "
    "it holds config.json and weights_best.h5, and the export was made from it (model.export_TF). If only "
    "the export is left, ask those who trained the model for that folder"
)


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


def find(path: Path, weights: str | None = None, task: str | None = None, *, has_factor: bool = False) -> ModelFolder:
    """Look at a model folder.

    Parameters
    ----------
    weights
        Name of the file of weights; None: as CSBDeep chooses.
    task
        What the user says it does; None: what the folder says.
    has_factor
        Whether the user gave a factor, which only models with interpolation have.

    Raises
    ------
    ConversionError
        If a file is missing, or the folder is no model folder of CSBDeep.
    """
    _check_is_model_folder(path)
    config = config_.read(path / "config.json")
    said = _said_by_export(path)
    possible = _possible(config)
    chosen = task or (said if said in possible else None) or _guess_task(possible, has_factor=has_factor)
    if chosen not in possible:
        raise ConversionError(
            f"{path}: asked for {chosen}, but config.json describes a {len(config.axes)}D network "
            f"{'with' if config.surface else 'without'} projection, which can only be used to {' or '.join(possible)}"
        )
    if has_factor and not TASKS[chosen].has_factor:
        raise ConversionError(f"{path}: a model to {chosen} has no factor; leave it out")
    is_certain = task is not None or said is not None or has_factor or len(possible) == 1
    return ModelFolder(path, config, _weights(path, weights, config), chosen, is_certain)


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


def _guess_task(possible: tuple[str, ...], *, has_factor: bool) -> str:
    return possible[-1] if has_factor else possible[0]


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
