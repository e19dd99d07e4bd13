"""What a user may choose for one restoration: one table, from which every surface makes its own options.

A new setting is a field of `Settings` and the place that uses it. Python, the command line, the dialogs of Fiji and
KNIME, the worker, and what decides whether a finished file is restored again all read the table.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import DTypeLike

from carezoo.errors import InputError

Provider = Literal["cpu", "openvino", "cuda", "tensorrt"]
Precision = Literal["exact", "fast"]
Tile = Literal["auto", "whole"] | int | Sequence[int]
Nan = Literal["keep", "zero", "refuse"]
IntensityRange = tuple[float, float] | Mapping[int, tuple[float, float]]
Nodata = Literal["auto", "none"] | float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table."""

    key: str
    """Field of `Settings`, keyword of `Model.restore`, option of the worker."""
    default: Any
    help: str
    name: str = ""
    """Key in macros and in KNIME's workflows; by default `key`."""
    label: str = ""
    """What dialogs show, by default `name`. It begins with it, because ImageJ makes the key in macros of it."""
    flag: str = ""
    """Option of the command line without its hyphens; by default `name`."""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    """What dialogs and the command line offer; without any it is a text, or a flag."""
    titles: tuple[str, ...] = ()
    """How dialogs call the choices; by default as they are."""
    unset: str = ""
    """Word for None, where that is the default."""
    parse: Callable[[Any], Any] | None = None
    """Return the checked value of a text or a value, or raise ValueError or TypeError; None: one of the choices."""
    expected: str = ""
    """What `parse` takes, for messages."""
    is_repeatable: bool = False
    """Whether the command line may give it several times; the texts are joined with blanks."""
    decides_pixels: bool = True
    """Whether a result that was made with another value has to be made again."""

    def __post_init__(self) -> None:
        name = self.name or self.key
        derived = {
            "name": name,
            "label": self.label or name.replace("_", " ").capitalize(),
            "flag": self.flag or name.replace("_", "-"),
            "titles": self.titles or self.choices,
        }
        for attribute, value in derived.items():
            object.__setattr__(self, attribute, value)

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.default, bool)

    @property
    def word(self) -> str:
        """The default as the command line shows it."""
        return self.unset if self.default is None else str(self.default)

    @property
    def title(self) -> str:
        """The default as dialogs show it."""
        return self.titles[self.choices.index(self.word)] if self.choices else self.word

    def check(self, value: Any, name: str = "") -> Any:
        """Return the value of a text, or of a value as Python has it.

        Parameters
        ----------
        name
            What messages call the setting; by default its key.

        Raises
        ------
        InputError
            If it is none.
        """
        given = value.strip() if isinstance(value, str) else value
        if self.default is None and (given is None or (isinstance(given, str) and given == self.unset)):
            return None
        if isinstance(given, str) and given in self.titles:
            given = self.choices[self.titles.index(given)]
        try:
            return self.parse(given) if self.parse else _choose(self.choices, given)
        except (LookupError, OverflowError, TypeError, ValueError):
            expected = self.expected or ", ".join(self.choices)
            raise InputError(f"{name or self.key} {value!r}: expected {expected}") from None


def _choose(choices: Sequence[str], value: Any) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError
    return value


def _tile(value: Any) -> Any:
    if isinstance(value, str):
        if value in {"auto", "whole"}:
            return value
        sizes = tuple(map(_count, value.split(",")))
        return sizes if len(sizes) > 1 else sizes[0]
    if isinstance(value, Sequence | np.ndarray) and len(value):
        return tuple(map(_count, value))
    return _count(value)


_MOST_THREADS = 1024
"""ONNX Runtime starts as many as it is told, and a hundred thousand take minutes and all memory."""


def _count(value: Any) -> int:
    number = int(value) if isinstance(value, str) else operator.index(value)
    if isinstance(value, bool) or number < 1:
        raise ValueError
    return number


def _threads(value: Any) -> int:
    number = _count(value)
    if number > _MOST_THREADS:
        raise ValueError
    return number


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _range(value: Any) -> tuple[float, float]:
    low, high = map(_number, value.split(",") if isinstance(value, str) else value)
    # Networks compute in float32: what it cannot tell apart is no range.
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= high - low <= float(limits.max):
        raise ValueError
    return low, high


def _ranges(value: Any) -> tuple[float, float] | dict[int, tuple[float, float]]:
    if isinstance(value, str) and "=" in value:
        value = [each.split("=") for each in value.split()]
        if len({int(channel) for channel, _ in value}) < len(value):
            raise ValueError
        value = dict(value)
    if not isinstance(value, Mapping):
        return _range(value)
    found = {int(channel): _range(each) for channel, each in value.items()}
    if not found or min(found) < 0:
        raise ValueError
    return dict(sorted(found.items()))


def _nodata(value: Any) -> Any:
    return value if isinstance(value, str) and value in {"auto", "none"} else _number(value)


def _dtype(value: Any) -> str:
    if isinstance(value, str) and value == "input":
        return value
    if value is None or np.dtype(value).kind not in "fiu":  # NumPy takes None for float64
        raise ValueError
    return str(np.dtype(value).name)


def _bytes(value: Any) -> int:
    if not isinstance(value, str):
        return _count(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", value, re.IGNORECASE)
    if not match:
        raise ValueError
    return _count(int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")))


def _row(default: Any, **how: Any) -> Any:
    """Return a field with what else its row of the table says."""
    return field(default=default, metadata=how)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user may choose for one restoration. The package decides everything else.

    Fields take values or texts, and hold what they mean: ``Settings(tile="16,256,256").tile`` is ``(16, 256, 256)``.

    Raises
    ------
    InputError
        If a value is none that can be chosen.
    """

    tile: Tile = _row(
        "auto",
        parse=_tile,
        expected="auto, whole, one size (512), or one for each axis (16,256,256)",
        metavar="auto|whole|N|Z,Y,X",
        help="Largest piece that is restored at once, halo included: auto (as memory allows), whole, one size (512), "
        "or one for each axis (16,256,256). It does not change the result.",
        decides_pixels=False,
    )
    provider: Provider | Literal["auto"] = _row(
        "auto",
        choices=("auto", *get_args(Provider)),
        help="What computes. One that is asked for and does not run is an error; auto takes the fastest that gives "
        "exact results.",
        decides_pixels=False,
    )
    precision: Precision = _row(
        "exact",
        choices=get_args(Precision),
        help="exact: float32. fast: half precision, where the hardware has it.",
    )
    n_threads: int | None = _row(
        None,
        parse=_threads,
        unset="auto",
        expected=f"how many processor threads, 1 to {_MOST_THREADS}, or auto for all cores",
        name="threads",
        metavar="N",
        help="Processor threads; auto: all cores.",
        decides_pixels=False,
    )
    dtype: DTypeLike | Literal["input"] = _row(
        "float32",
        parse=_dtype,
        choices=("float32", "input", "uint8", "uint16"),
        titles=("32-bit", "as the image", "8-bit", "16-bit"),
        expected="a type such as float32 or uint16, or input for that of the image",
        name="result_type",
        flag="dtype",
        help="Type of the restored pixels. Integers are rounded and clipped, and the clipped pixels counted.",
    )
    intensity_range: IntensityRange | None = _row(
        None,
        parse=_ranges,
        unset="measured",
        expected="two numbers, dark and bright, the lower one first, such as 100,3000, or such ranges by channel, "
        "such as 0=90,1200 1=100,3000",
        flag="range",
        metavar="[CHANNEL=]LOW,HIGH",
        is_repeatable=True,
        help="Dark and bright value to use instead of measured percentiles, in the units of the image; for all "
        "channels (100,3000), or for some (0=90,1200 1=100,3000).",
    )
    background: float | None = _row(
        None,
        parse=_number,
        unset="measured",
        expected="the value of pixels without light, such as 100",
        metavar="VALUE",
        help="Dark value of all channels, such as the offset of the camera, in the units of the image. It replaces the "
        "low percentile of models normalized by percentiles.",
    )
    is_robust: bool = _row(
        False,
        parse=_flag,
        expected="true or false",
        name="robust",
        help="Take pixels that are far brighter than all others for debris or hot pixels: left out of statistics, and "
        "kept as they are. It changes nothing where there are none.",
    )
    average: int = _row(
        1,
        parse=_count,
        expected="how many frames become one, 1 or more",
        metavar="N",
        label="Average frames",
        help="Restore the means of so many consecutive frames (T); 1: every frame.",
    )
    is_per_frame: bool = _row(
        False,
        parse=_flag,
        expected="true or false",
        name="per_frame",
        help="Measure intensities for every time point, not once for the series.",
    )
    nan: Nan = _row(
        "keep",
        choices=get_args(Nan),
        label="NaN pixels",
        help="NaN and infinite pixels are left out of statistics. keep: they come back as they are (in integer results "
        "NaN as 0). zero: they come back as 0. refuse: they are an error.",
    )
    nodata: Nodata = _row(
        "auto",
        parse=_nodata,
        expected="auto, none, or the value of pixels without data, such as 0",
        metavar="auto|none|VALUE",
        label="Nodata value",
        help="Pixels of this value are no image: left out of statistics, and kept as they are. auto: padding, which is "
        "an exactly constant region at the border, and planes of one value. none: every pixel counts.",
    )
    memory_bytes: int | None = _row(
        None,
        parse=_bytes,
        unset="auto",
        expected="bytes, or a size such as 500M or 2G, or auto",
        name="tile_memory",
        metavar="SIZE",
        help="Working memory of the network for one tile, such as 500M or 2G; auto: half of what is free, and not more "
        "than pays.",
        decides_pixels=False,
    )
    keep_members: bool | None = _row(
        None,
        parse=_flag,
        unset="auto",
        expected="true, false, or auto",
        help="Keep what each member of an ensemble says, for exact intervals; auto: if that takes up to 1 GB.",
        decides_pixels=False,
    )

    def __post_init__(self) -> None:
        for row in SETTINGS:
            object.__setattr__(self, row.key, row.check(getattr(self, row.key)))
        if self.background is not None and self.intensity_range is not None:
            raise InputError("background and intensity_range both name the dark value; give one of them")
        if self.is_robust and isinstance(self.intensity_range, tuple):
            raise InputError("robust and intensity_range both say what is bright; give one of them")

    def list_changed(self) -> tuple[Setting, ...]:
        """Return the rows whose value is not the default."""
        return tuple(row for row in SETTINGS if getattr(self, row.key) != row.default)

    def list_deciding(self) -> dict[str, Any]:
        """Return what decides pixels, as plain values for JSON: equal values, equal pixels."""
        return {row.key: _plain(getattr(self, row.key)) for row in SETTINGS if row.decides_pixels}

    def of_channel(self, channel: int) -> Settings:
        """Return the settings for one channel of an image, restored as an image of its own."""
        if not isinstance(self.intensity_range, Mapping):
            return self
        return replace(self, intensity_range=self.intensity_range.get(channel))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


class Options(TypedDict, total=False):
    """The fields of `Settings` as keywords, for type checkers and completion."""

    tile: Tile
    provider: Provider | Literal["auto"]
    precision: Precision
    n_threads: int | None
    dtype: DTypeLike | Literal["input"]
    intensity_range: IntensityRange | None
    background: float | None
    is_robust: bool
    average: int
    is_per_frame: bool
    nan: Nan
    nodata: Nodata
    memory_bytes: int | None
    keep_members: bool | None


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=each.name, default=each.default, **each.metadata) for each in fields(Settings)
)

NOT_OFFERED: Mapping[str, str] = {"keep_members": "results become files and windows, which hold no members"}
"""Settings that only Python and the worker take, and why."""

OFFERED = tuple(row for row in SETTINGS if row.key not in NOT_OFFERED)
"""What the command line and the dialogs offer."""


def from_words(words: Mapping[str, Any]) -> Settings:
    """Return the settings of texts or values by key; None and what is missing stay as carezoo has them.

    Raises
    ------
    InputError
        If a key is unknown, with the nearest ones, or a value is none that can be chosen.
    """
    known = {row.key: row.key for row in SETTINGS}
    other = {word: row.key for row in SETTINGS for word in (row.name, row.flag.replace("-", "_"))}
    for key in words:
        if key not in known:
            words_of = {**other, **known}
            near = [other[key]] if key in other else [words_of[word] for word in get_close_matches(key, words_of)]
            there = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"unknown setting {key}; {there}")
    return Settings(**{key: value for key, value in words.items() if value is not None})


def choose(settings: Settings | Mapping[str, Any] | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings that a caller gives as a whole, as a dictionary, or as keywords.

    Raises
    ------
    TypeError
        If they are given twice.
    InputError
        As `from_words`; or if `settings` are something else.
    """
    if settings is not None and options:
        raise TypeError(f"give settings or {', '.join(options)}, not both")
    if isinstance(settings, Settings):
        return settings
    if settings is not None and not isinstance(settings, Mapping):
        raise InputError(
            f"settings: expected carezoo.Settings(...) or a dictionary such as {{'tile': 512}}, found {settings!r}"
        )
    return from_words(options if settings is None else settings)


def from_dialog(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a dialog or a macro, texts or values by name; whatever else it asks is left alone.

    Raises
    ------
    InputError
        If a value is none that can be chosen.
    """
    return Settings(**{row.key: row.check(values[row.name], row.name) for row in OFFERED})
