"""CSBDeep's `config.json`: which network a model folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carezoo.errors import ConversionError

_OTHER_PROGRAMS = {
    "n2v_": "Noise2Void (N2V)",
    "structN2V": "Noise2Void (N2V)",
    "n_rays": "StarDist",
    "denoiseg_": "DenoiSeg",
    "train_num_patches_embedseg": "EmbedSeg",
}
"""Keys, or what keys begin with, of configurations that build on CSBDeep's."""
_DEEPEST = 10
"""Of a network that halves its images."""


@dataclass(frozen=True)
class SurfaceConfig:
    """The first part of a projection network, sides in the order of the configuration's axes."""

    depth: int
    n_filters: int
    n_convolutions: int
    kernel: tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """What matters of a configuration."""

    axes: str
    """Spatial axes in the order of the kernels, such as YX, XY or ZYX."""
    n_in: int
    n_out: int
    depth: int
    kernel: int
    n_first: int
    is_residual: bool
    is_probabilistic: bool
    is_relu_last: bool
    surface: SurfaceConfig | None
    """Of a projection."""
    values: Mapping[str, Any] = field(repr=False)
    """The whole file."""


def read(path: Path) -> Config:
    """Read a configuration.

    Raises
    ------
    ConversionError
        If the file cannot be read, belongs to another program, or describes a network carezoo does not know.
    """
    return _Reader(path, _values(path)).config()


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConversionError(f"{path}: not a CSBDeep configuration: {error}") from None
    if not isinstance(values, dict):
        raise ConversionError(f"{path}: not a CSBDeep configuration: expected an object, found {type(values).__name__}")
    for prefix, program in _OTHER_PROGRAMS.items():
        if any(key.startswith(prefix) for key in values):
            raise ConversionError(
                f"{path} is the configuration of a {program} model. Only CSBDeep's own classes can be converted: "
                "CARE, IsotropicCARE, UpsamplingCARE, ProjectionCARE"
            )
    return values


@dataclass(frozen=True)
class _Reader:
    """One file, checked value by value."""

    path: Path
    values: Mapping[str, Any]

    def config(self) -> Config:
        axes = self._axes()
        n_in, n_out = self._integer("n_channel_in"), self._integer("n_channel_out")
        is_residual = self._flag("unet_residual")
        if is_residual and n_in != n_out:
            raise self._error("unet_residual", "false, because n_channel_in and n_channel_out differ")
        return Config(
            axes=axes,
            n_in=n_in,
            n_out=n_out,
            depth=self._integer("unet_n_depth", at_most=_DEEPEST),
            kernel=self._odd("unet_kern_size", self._value("unet_kern_size")),
            n_first=self._integer("unet_n_first"),
            is_residual=is_residual,
            is_probabilistic=self._flag("probabilistic"),
            is_relu_last=self._one_of("unet_last_activation", ("linear", "relu")) == "relu",
            surface=self._surface(axes) if any(key.startswith("proj_") for key in self.values) else None,
            values=self.values,
        )

    def _axes(self) -> str:
        text = self._value("axes")
        axes = str(text).removesuffix("C")
        if text != axes + "C" or sorted(axes) not in (sorted("YX"), sorted("ZYX")):
            raise self._error("axes", "YXC or ZYXC (C last): carezoo has no networks along other axes, such as T")
        return axes

    def _surface(self, axes: str) -> SurfaceConfig:
        if "Z" not in axes or self.values.get("proj_axis") != "Z":
            raise self._error("proj_axis", "Z, one of the axes: carezoo projects along Z only")
        pooling, kernel = (self._sides(key, len(axes)) for key in ("proj_pool", "proj_kern"))
        if pooling != tuple(1 if letter == "Z" else 2 for letter in axes):
            raise self._error("proj_pool", "1 along Z and 2 along Y and X")
        return SurfaceConfig(
            self._integer("proj_n_depth", at_most=_DEEPEST),
            self._integer("proj_n_filt"),
            self._integer("proj_n_conv_per_depth"),
            tuple(self._odd("proj_kern", side) for side in kernel),
        )

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise ConversionError(f"{self.path}: {key} is missing; expected the configuration of a CSBDeep CARE model")
        return self.values[key]

    def _integer(self, key: str, at_most: int = 4096) -> int:
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
            raise self._error(key, f"a whole number from 1 to {at_most}")
        return value

    def _odd(self, key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1 or value % 2 == 0:
            raise self._error(key, "odd sides")
        return value

    def _flag(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise self._error(key, "true or false")
        return value

    def _one_of(self, key: str, known: tuple[str, ...]) -> str:
        value = self._value(key)
        if value not in known:
            raise self._error(key, " or ".join(known))
        return str(value)

    def _sides(self, key: str, n: int) -> tuple[Any, ...]:
        value = self._value(key)
        if not isinstance(value, list) or len(value) != n:
            raise self._error(key, f"{n} numbers")
        return tuple(value)

    def _error(self, key: str, expected: str) -> ConversionError:
        return ConversionError(f"{self.path}: {key} is {self.values.get(key)!r}; expected {expected}")
