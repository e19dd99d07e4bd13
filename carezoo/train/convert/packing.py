"""A converted model as the draft of a package, and the image it is shown with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from carezoo.errors import ConversionError
from carezoo.files import open_image
from carezoo.image import Image
from carezoo.package.draft import Author, Draft, Percentiles
from carezoo.package.manifest import Record
from carezoo.package.read import Package
from carezoo.schema.span import Span
from carezoo.simulate.blurred import Denoise
from carezoo.simulate.camera import Camera
from carezoo.simulate.pairs import make_pair, prepare
from carezoo.simulate.psf_section import GaussianPsf
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.tubules import Tubules
from carezoo.tasks import TASKS
from carezoo.train.convert.folder import Choices, ModelFolder
from carezoo.train.networks.graph import OPSET
from carezoo.train.networks.network import Network
from carezoo.train.pack import card, draft_tools
from carezoo.train.pack.sample import SampleImage, cut_out, take_frame

EPS = 1e-20
"""What CSBDeep adds to the range of intensities before it divides by it."""

_SIDE = {"YX": 256, "ZYX": 160}
_LATERAL_UM, _AXIAL_UM = 0.1, 0.2
_MOST_PLANES, _FEWEST_PLANES = 32, 6


def read_sample(path: Path, axes: str | None, license_: str, spatial: str, n_channels: int) -> SampleImage:
    """Return an image of the user's: its first sample and frame.

    Raises
    ------
    ConversionError
        If it does not fit the model.
    InputError
        If it cannot be read.
    """
    image = open_image(path, axes)
    missing = [letter for letter in spatial if letter not in image.axes]
    if missing or image.sizes.get("C", 1) != n_channels:
        raise ConversionError(
            f"sample {path}: expected axes {spatial} and {n_channels} channel(s), found axes {image.axes} and "
            f"shape {image.shape}. Name the axes of the file, or give another one"
        )
    return SampleImage(take_frame(replace(image, name=path.name), range(n_channels), spatial), None, license_, "")


def simulate_sample(spatial: str, n_channels: int, factor: Fraction) -> SampleImage:
    """Return filaments and spots with camera noise, others in every channel, the same every time.

    Parameters
    ----------
    factor
        Planes the model makes of one: it gets as many fewer, and farther apart.
    """
    side = _SIDE[spatial]
    shape: tuple[int, ...] = (side, side)
    pixel_size_um: tuple[float, ...] = (_LATERAL_UM, _LATERAL_UM)
    if spatial == "ZYX":
        n_planes = max(_FEWEST_PLANES, int(_MOST_PLANES / factor))
        shape, pixel_size_um = (n_planes, *shape), (_AXIAL_UM * float(factor), *pixel_size_um)
    description = Denoise(
        camera=Camera(photons=Span(60.0, 60.0)),
        structures=(Tubules(), Granules()),
        psf=GaussianPsf(sigma_um=Span(0.12, 0.12), sigma_z_um=Span(0.3, 0.3)),
        shape=shape,
        pixel_size_um=pixel_size_um,
    )
    prepared = prepare(description, Path())
    channels = [make_pair(prepared, 0, i) for i in range(n_channels)]
    source, target = (
        Image(np.stack(arrays), "C" + spatial, name="simulated filaments and spots")
        for arrays in ([each.source for each in channels], [each.target for each in channels])
    )
    return SampleImage(source, target, "CC0-1.0", "simulated by carezoo, not a microscope's")


def draft(found: ModelFolder, network: Network, sample: SampleImage, choices: Choices) -> Draft:
    """Measure the exported graph and describe it, without pictures yet.

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
    """Add what only a package that runs shows (`draft`, written and opened): measured halo, samples, cover and card."""
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
    yield "## Validation\n"
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
    yield "## Training\n"
    yield (
        f"Trained with CSBDeep as {found.class_name}, converted from {found.weights.name}; its settings stand in "
        "`csbdeep_config.json`. The training images are not known to this package."
    )
