"""rdf.yaml of a package made by carezoo, as every reader of bioimage.io models takes it.

Format version 0.5.3 with plain strings for documentation and covers is what readers of 2023 and of today agree on;
Fiji's needs `id`, and rounds tile sizes to multiples of `step` without looking at `min`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import yaml

from carezoo.errors import ManifestError
from carezoo.package import consistency, section
from carezoo.package.consistency import ONE
from carezoo.package.draft import (
    INPUT_NAME,
    OUTPUT_NAME,
    TEST_INPUT_PATH,
    TEST_OUTPUT_PATH,
    WEIGHTS_PATH,
    Constants,
    Draft,
    Percentiles,
)

FORMAT_VERSION = "0.5.3"

KNOWN_FILES = ("README.md", "cover.png", "sample_input.tif", "sample_output.tif")

MAX_SIZE = 4096
"""Every size up to here is checked against the scales that are written."""

SHORT_BITS = 24
"""Bits of the common unit when the plain scales fail: multiples of it by sizes and factors are then exact."""


def render(draft: Draft) -> bytes:
    """Return the manifest of `draft`, the same bytes for the same draft.

    A draft that contradicts itself or lacks a file is a `ManifestError`.
    """
    consistency.check(draft)
    try:
        text = yaml.dump(_rdf(draft), Dumper=_ManifestDumper, sort_keys=False, allow_unicode=True, width=120)
    except yaml.representer.RepresenterError as error:
        raise ManifestError(f"package {draft.id}: not a plain value in its sections: {error.args[-1]!r}") from error
    return str(text).encode("utf-8")


class _ManifestDumper(yaml.SafeDumper):
    """YAML without aliases: equal parts are written out, as people and simple readers expect; numbers in one line."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_flow(dumper: _ManifestDumper, values: list[Any]) -> yaml.Node:
    """Write many numbers beside each other instead of below."""
    is_row = len(values) > 1 and all(isinstance(each, int | float) for each in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=is_row)


_ManifestDumper.add_representer(list, _represent_flow)


def _rdf(draft: Draft) -> dict[str, Any]:
    test_input = consistency.npy_header(draft, TEST_INPUT_PATH)
    attached = sorted(set(draft.files) - {*KNOWN_FILES, WEIGHTS_PATH, TEST_INPUT_PATH, TEST_OUTPUT_PATH})
    entries: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "id": draft.id,
        "name": draft.name,
        "version": draft.version,
        "description": draft.description,
        "authors": [_drop_empty(vars(author)) for author in draft.authors],
        "cite": [_drop_empty(vars(citation)) for citation in draft.cite],
        "license": draft.license,
        "documentation": "README.md" if "README.md" in draft.files else None,
        "covers": ["cover.png"] if "cover.png" in draft.files else None,
        "tags": list(draft.tags) or None,
        "timestamp": draft.timestamp.isoformat(),
        "git_repo": draft.git_repo or None,
        "parent": {"id": draft.parent[0], "version": draft.parent[1]} if draft.parent else None,
        "attachments": [_file(draft, path) for path in attached] or None,
        "inputs": [_input(draft, test_input)],
        "outputs": [_output(draft)],
        "weights": {"onnx": {**_file(draft, WEIGHTS_PATH), "opset_version": draft.opset}},
        "config": {"bioimageio": _tolerance(draft), "carezoo": section.write(draft)},
    }
    return {key: value for key, value in entries.items() if value is not None}


def _input(draft: Draft, test: tuple[tuple[int, ...], str]) -> dict[str, Any]:
    shape, dtype = test
    axes = _leading_axes(draft.input_channels)
    for letter, size in zip(draft.axes, shape[2:], strict=True):
        tiling = {"concatenable": True} if draft.rules[letter].is_tileable else {}
        axes.append(_axis(draft, letter, _input_size(draft, letter, size), _scales(draft, letter)[0]) | tiling)
    return {
        "id": INPUT_NAME,
        "description": f"image to restore, axes {draft.axes}",
        "axes": axes,
        "test_tensor": _file(draft, TEST_INPUT_PATH),
        **_sample(draft, "sample_input.tif"),
        "data": {"type": dtype, "unit": "arbitrary unit"},
        "preprocessing": _preprocessing(draft),
    }


def _input_size(draft: Draft, letter: str, test_size: int) -> int | dict[str, int]:
    """Return the size as the format wants it.

    The format asks for more than two halos. An axis that must not be cut at all gets the size of the test image: other
    readers cut every axis of free size into blocks, and where it is projected away the last block overwrites the rest.
    """
    if consistency.is_fixed(draft, letter):
        return test_size
    return {
        "min": consistency.format_minimum(draft.rules[letter], draft.factors.get(letter, ONE)),
        "step": draft.rules[letter].step,
    }


def _output(draft: Draft) -> dict[str, Any]:
    axes = _leading_axes([meaning.name for meaning in draft.output_channels])
    for letter in draft.output_axes:
        size = {"tensor_id": INPUT_NAME, "axis_id": letter.lower(), "offset": 0}
        halo = consistency.format_halo(draft.rules[letter], draft.factors.get(letter, ONE))[0]
        axes.append(_axis(draft, letter, size, _scales(draft, letter)[1]) | ({"halo": halo} if halo else {}))
    units = "intensities of the input" if isinstance(draft.normalization, Constants) else "normalized intensities"
    return {
        "id": OUTPUT_NAME,
        "description": f"{', '.join(dict.fromkeys(m.kind for m in draft.output_channels))} in {units}",
        "axes": axes,
        "test_tensor": _file(draft, TEST_OUTPUT_PATH),
        **_sample(draft, "sample_output.tif"),
        "data": {"type": "float32", "unit": "arbitrary unit"},
        "postprocessing": _postprocessing(draft),
    }


def _leading_axes(channels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"type": "batch"}, {"type": "channel", "channel_names": consistency.format_names(channels)}]


def _axis(draft: Draft, letter: str, size: Any, scale: float) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if letter in draft.pixel_size_um else {}
    return {"type": "space", "id": letter.lower(), "size": size, **unit, "scale": scale}


def _scales(draft: Draft, letter: str) -> tuple[float, float]:
    return choose_scales(draft.pixel_size_um.get(letter, 1.0), draft.factors.get(letter, ONE))


def choose_scales(size: float, factor: Fraction) -> tuple[float, float]:
    """Return input and output scale of an axis, with which readers find the exact size of every output.

    They compute ``floor(size * input scale / output scale)`` in double precision. A factor of 51/5 between scales 2.0
    and 2.0 / 10.2 can come out one plane short. The scales chosen here never do.

    Parameters
    ----------
    size
        Pixel size of the input, above 0.
    factor
        Output pixels for one input pixel.

    Returns
    -------
    tuple of float
        Scales with which ``floor(n * input / output) == floor(n * factor)`` for every n up to `MAX_SIZE`, without any
        rounding where ``n * factor`` is whole. The input scale is `size`, or differs from it by less than 1e-7 of it.
    """
    plain = size, size / float(factor)
    if _reproduces(*plain, factor):
        return plain
    # Both scales as whole multiples of one short number: every product below is exact, and the quotient of two exact
    # numbers is exact where it is whole.
    mantissa, exponent = math.frexp(size / factor.numerator)
    unit = math.ldexp(round(math.ldexp(mantissa, SHORT_BITS)), exponent - SHORT_BITS)
    return factor.numerator * unit, factor.denominator * unit


def _reproduces(scale_in: float, scale_out: float, factor: Fraction) -> bool:
    """Return whether floating-point arithmetic with these scales gives every output size, and whole ones exactly."""
    for n in range(1, MAX_SIZE + 1):
        exact = n * factor
        computed = n * scale_in / scale_out
        if math.floor(computed) != math.floor(exact) or (exact.denominator == 1 and computed != exact):
            return False
        if exact.denominator == 1 and int(exact) * scale_out / scale_in != n:
            return False
    return True


def _preprocessing(draft: Draft) -> list[dict[str, Any]]:
    to_float = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    how = draft.normalization
    if isinstance(how, Percentiles):
        kwargs: dict[str, Any] = {
            "axes": [letter.lower() for letter in draft.axes],
            "min_percentile": how.low,
            "max_percentile": how.high,
            "eps": how.eps,
        }
        return [to_float, {"id": "scale_range", "kwargs": kwargs}, to_float]
    widths = [high - low for low, high in zip(how.low, how.high, strict=True)]
    fixed: dict[str, Any] = (
        {"mean": how.low[0], "std": widths[0]}
        if len(widths) == 1
        else {"axis": "channel", "mean": list(how.low), "std": widths}
    )
    return [to_float, {"id": "fixed_zero_mean_unit_variance", "kwargs": fixed}, to_float]


def _postprocessing(draft: Draft) -> list[dict[str, Any]]:
    to_float = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    how = draft.normalization
    if isinstance(how, Percentiles):
        return [to_float]
    gain, offset = [], []
    for meaning in draft.output_channels:
        has_units = meaning.of is not None and meaning.kind != "disagreement"
        gain.append(how.high[meaning.of] - how.low[meaning.of] if has_units and meaning.of is not None else 1.0)
        offset.append(how.low[meaning.of] if has_units and meaning.of is not None and meaning.kind == "mean" else 0.0)
    return [{"id": "scale_linear", "kwargs": {"axis": "channel", "gain": gain, "offset": offset}}, to_float]


def _tolerance(draft: Draft) -> dict[str, Any]:
    relative, absolute = draft.tolerance
    return {"reproducibility_tolerance": [{"relative_tolerance": relative, "absolute_tolerance": absolute}]}


def _sample(draft: Draft, path: str) -> dict[str, Any]:
    return {"sample_tensor": _file(draft, path)} if path in draft.files else {}


def _file(draft: Draft, path: str) -> dict[str, str]:
    return {"source": path, "sha256": hashlib.sha256(draft.files[path]).hexdigest()}


def _drop_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
