"""The conductor: a model folder of CSBDeep in, a package out."""

from __future__ import annotations

import logging
import os
import tempfile
from fractions import Fraction
from pathlib import Path

from carezoo.errors import ConversionError, MissingExtraError

try:
    import torch  # noqa: F401 - said here, before anything else needs it
except ImportError as error:
    raise MissingExtraError.of("torch", "train", "to convert models") from error

from carezoo.check.run import check
from carezoo.package.consistency import ONE
from carezoo.package.read import open_package
from carezoo.package.write import check_target, write_package
from carezoo.tasks import ISOTROPIC, TASKS, UPSAMPLE
from carezoo.train.convert import folder, network, packing
from carezoo.train.convert.folder import Choices, ModelFolder
from carezoo.train.networks.network import Network
from carezoo.train.pack.sample import SampleImage

log = logging.getLogger("carezoo")


def convert(
    model: str | os.PathLike[str],
    target: str | os.PathLike[str],
    choices: Choices | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Make a package of a model that CSBDeep trained; the network gives the same numbers.

    Parameters
    ----------
    model
        The model folder, with config.json and weights (.h5).
    target
        Path of the package, ending in .zip, or a folder.
    choices
        What the folder does not say.
    overwrite
        True: a package that stands at `target` is replaced.

    Returns
    -------
    Path
        `target`. Nothing stands there unless every check was passed.

    Raises
    ------
    ConversionError
        If the folder cannot be converted, and why.
    InputError
        If something stands at `target`, or the sample cannot be read.
    CheckError
        If the package does not do what it says.
    """
    choices = choices or Choices()
    check_target(Path(target), overwrite=overwrite)
    found = folder.find(Path(model), choices)
    restorer = network.load(found.config, found.weights, found.task, _factor(found, choices))
    _tell(found)
    sample = _sample(restorer, choices)
    draft = packing.draft(found, restorer, sample, choices)
    with tempfile.TemporaryDirectory(prefix="carezoo-") as scratch:
        package = open_package(write_package(draft, Path(scratch, "draft")))
        finished = packing.finish(draft, package, found, sample)
        check(open_package(write_package(finished, Path(scratch, "finished")))).raise_if_failed()
    return write_package(finished, target, overwrite=overwrite)


def _factor(found: ModelFolder, choices: Choices) -> Fraction:
    if not TASKS[found.task].has_factor:
        return ONE
    if choices.factor is None:
        raise ConversionError(
            f"{found.path}: {found.class_name} models get their factor at prediction, so the folder does not tell it: "
            "say how many planes to make of one (--factor 10.2)"
        )
    return choices.factor


def _tell(found: ModelFolder) -> None:
    log.info("%s: %s, weights %s", found.path, found.class_name, found.weights.name)
    if not found.is_certain:
        other = ISOTROPIC if len(found.config.axes) == 2 else UPSAMPLE
        log.warning(
            "config.json does not name the class; it was taken as CARE. If the model was trained to %s, convert it "
            "with --as %s --factor N",
            f"{other.title} ({other.csbdeep})",
            other.name,
        )


def _sample(network: Network, choices: Choices) -> SampleImage:
    axes = network.geometry.axes
    if choices.sample is None:
        return packing.simulate_sample(axes, network.n_in, network.geometry.factors.get("Z", ONE))
    return packing.read_sample(choices.sample, choices.sample_axes, choices.sample_license, axes, network.n_in)
