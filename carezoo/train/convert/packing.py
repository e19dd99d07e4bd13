"""A converted model as the draft of a package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from carezoo.errors import ConversionError
from carezoo.package.draft import Author, Draft, Percentiles
from carezoo.package.manifest import Record
from carezoo.package.read import Package
from carezoo.tasks import TASKS
from carezoo.train.convert.choices import Choices
from carezoo.train.convert.folder import ModelFolder
from carezoo.train.networks.graph import OPSET
from carezoo.train.networks.network import Network
from carezoo.train.pack import card, draft_tools
from carezoo.train.pack.sample import SampleImage, cut_out

EPS = 1e-20
"""What CSBDeep adds to the range of intensities before it divides by it."""


def draft(found: ModelFolder, network: Network, sample: SampleImage, choices: Choices) -> Draft:
    """Measure the exported graph and describe it, without pictures yet.

    Parameters
    ----------
    network
        With the weights of `found`.
    sample
        Image for the test tensors.

    Raises
    ------
    ParityError
        If graph and network differ.
    ConversionError
        If `choices` name the wrong number of channels.
    """
    channels, restored = _channel_names(found, choices)
    geometry, name = network.geometry, choices.name or _identifier(found.path)
    described = Draft(
        id=name,
        name=draft_tools.title(name),
        version=choices.version,
        description=choices.description
        or f"CSBDeep model {found.path.resolve().name} ({found.class_name}), converted.",
        authors=tuple(Author(each) for each in choices.authors) or (Author("not named"),),
        cite=(draft_tools.CARE,),
        license=choices.license,
        timestamp=datetime.fromtimestamp(int(found.weights.stat().st_mtime), UTC),
        task=found.task,
        axes=geometry.axes,
        output_axes=geometry.output_axes,
        rules=geometry.rules,
        input_channels=channels,
        output_channels=draft_tools.meanings(network, restored),
        normalization=Percentiles(*choices.percentiles, eps=EPS, mode="own"),
        files={"csbdeep_config.json": json.dumps(found.config.values, indent=2).encode()},
        factors=geometry.factors,
        pixel_size_um={letter: size for letter, size in choices.pixel_size_um.items() if letter in geometry.axes},
        opset=OPSET,
        tags=("CARE", "CSBDeep", "fluorescence", f"{len(geometry.axes)}d"),
        record=Record(
            converted={
                "from": "CSBDeep",
                "class": found.class_name,
                "weights": found.weights.name,
                "weights_sha256": hashlib.sha256(found.weights.read_bytes()).hexdigest(),
            }
        ),
    )
    return draft_tools.export_and_measure(described, network, cut_out(sample, geometry.rules, geometry.factors), seed=0)


def finish(draft: Draft, package: Package, found: ModelFolder, sample: SampleImage) -> Draft:
    """Add what only a package that runs can tell: measured halo, samples, cover and card.

    Parameters
    ----------
    package
        `draft`, written and opened.
    """
    finished = draft_tools.add_samples(draft, package, sample)
    return replace(finished, files={**finished.files, "README.md": _readme(draft, found, sample).encode()})


def _identifier(path: Path) -> str:
    words = re.findall(r"[a-z0-9]+", path.resolve().name.lower())
    return "-".join(words) or "converted-model"


def _channel_names(found: ModelFolder, choices: Choices) -> tuple[tuple[str, ...], tuple[str, ...]]:
    n_in, n_out = found.config.n_in, found.config.n_out
    channels = choices.channels or (("signal",) if n_in == 1 else tuple(f"channel {i}" for i in range(n_in)))
    same = channels if n_in == n_out else tuple(f"restored {i}" for i in range(n_out))
    restored = choices.target_channels or same
    for what, names, n in (("channels", channels, n_in), ("target channels", restored, n_out)):
        if len(names) != n or len(set(names)) != n:
            raise ConversionError(f"{what}: expected {n} different name(s), found {', '.join(names)}")
    return channels, restored


def _readme(draft: Draft, found: ModelFolder, sample: SampleImage) -> str:
    parts = [
        card.opening(draft, sample),
        card.what_it_does(draft),
        _validation(found),
        _origin(found),
        card.use(draft),
        card.limits(draft),
        card.citations(draft),
    ]
    return card.join_lines(parts)


def _validation(found: ModelFolder) -> Iterator[str]:
    yield "## Validation"
    yield ""
    yield (
        "The weights are those of the CSBDeep model, unchanged, and the graph was compared with the network they were "
        "loaded into. **How well the model restores was not measured by the conversion**: compare restored images with "
        "clean ones (`carezoo evaluate`) before you rely on it."
    )
    if TASKS[found.task].has_factor:
        yield ""
        yield (
            "Whole results differ slightly from CSBDeep's, because planes are interpolated at their true distance; "
            "given CSBDeep's interpolated stack, the network gives CSBDeep's numbers."
        )


def _origin(found: ModelFolder) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield (
        f"Trained with CSBDeep as {found.class_name}, converted from {found.weights.name}; its settings stand in "
        "`csbdeep_config.json`. The training images are not known to this package."
    )
