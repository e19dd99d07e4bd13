"""What every package gets, wherever its network comes from: measured on the graph, and shown by running the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from carezoo.check.halo import measure_halo
from carezoo.image import Image
from carezoo.intensity import Affine, Operation, ScaleRange
from carezoo.package.draft import (
    TEST_INPUT_PATH,
    TEST_OUTPUT_PATH,
    WEIGHTS_PATH,
    Citation,
    Constants,
    Draft,
    Percentiles,
)
from carezoo.package.manifest import ChannelMeaning
from carezoo.package.read import Package
from carezoo.pictures import before_after
from carezoo.runtime.restore import restore
from carezoo.runtime.session import Session
from carezoo.settings import Settings
from carezoo.train.export import to_onnx
from carezoo.train.networks.network import Network
from carezoo.train.pack import measure
from carezoo.train.pack.measure import bytes_per_pixel
from carezoo.train.pack.sample import SampleImage, Tensors, cut_out, side_by_side, tensors_of, to_tiff

CARE = Citation(
    "Weigert et al., Content-aware image restoration: pushing the limits of fluorescence microscopy, "
    "Nature Methods 15, 1090 (2018)",
    doi="10.1038/s41592-018-0216-7",
)


def title(identifier: str) -> str:
    """Return a name for people; the format wants at least five letters."""
    return identifier if len(identifier) >= 5 else f"carezoo {identifier}"


def meanings(network: Network, names: Sequence[str]) -> tuple[ChannelMeaning, ...]:
    """Return what the output channels are, given the names of the restored ones.

    They have the units of an input channel where there is one for each.
    """
    has_units = len(names) == network.n_in
    return tuple(
        ChannelMeaning(
            channel.kind,
            channel.target if has_units and channel.kind != "disagreement" else None,
            names[channel.target] + ("" if channel.kind == "mean" else f" {channel.kind}"),
        )
        for channel in network.outputs
    )


def add_graph(draft: Draft, network: Network, piece: Image) -> tuple[Draft, Tensors]:
    """Add the exported graph and its test tensors on `piece`; return these, too."""
    weights, how = to_onnx(network), draft.normalization
    tensors = tensors_of(piece, weights, network, _operations(how), is_undone=isinstance(how, Constants))
    files = {**draft.files, WEIGHTS_PATH: weights, **tensors.files((TEST_INPUT_PATH, TEST_OUTPUT_PATH))}
    return replace(draft, files=files), tensors


def export_and_measure(draft: Draft, network: Network, piece: Image, seed: int) -> Draft:
    """Add the graph, its test tensors on `piece`, and what is measured on it.

    Raises
    ------
    ParityError
        If graph and network differ.
    """
    complete, tensors = add_graph(draft, network, piece)
    weights = complete.files[WEIGHTS_PATH]
    parity = measure.measure_parity(network, weights, np.random.default_rng(seed))
    names = [meaning.name for meaning in draft.output_channels]
    return replace(
        complete,
        bytes_per_pixel=bytes_per_pixel(weights, network.n_in, list(draft.rules.values())),
        record=replace(
            draft.record,
            parity={"torch": parity.max_difference, "sizes": [list(sizes) for sizes in parity.sizes]},
            fast=dict(measure.measure_fast(weights, tensors.normalized, names)),
        ),
    )


def add_samples(draft: Draft, package: Package, sample: SampleImage) -> Draft:
    """Add what only a package that runs shows (`draft`, written and opened): measured halo, sample files, cover."""
    halo = measure_halo(Session(draft.files[WEIGHTS_PATH], provider="cpu"), package.manifest, np.random.default_rng(0))
    settings = Settings(provider="cpu")
    piece = cut_out(sample, draft.rules, draft.factors)
    whole = restore(sample.image, package, settings).mean
    files = {
        **draft.files,
        "sample_input.tif": to_tiff(piece),
        "sample_output.tif": to_tiff(restore(piece, package, settings).images["mean"]),
        "cover.png": before_after.cover(*side_by_side(sample.image.array()[0], np.asarray(whole)[0], draft.factors)),
    }
    record = replace(draft.record, halo_measured={letter.lower(): size for letter, size in halo.items()})
    return replace(draft, files=files, record=record)


def _operations(how: Percentiles | Constants) -> tuple[Operation, ...]:
    if isinstance(how, Percentiles):
        return (ScaleRange(how.low, how.high, how.eps),)
    widths = [high - low for low, high in zip(how.low, how.high, strict=True)]
    gain = tuple(1.0 / width for width in widths)
    return (Affine(gain, tuple(-low / width for low, width in zip(how.low, widths, strict=True))),)
