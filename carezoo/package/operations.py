"""Pre- and postprocessing as the bioimage.io formats write it, as operations of `carezoo.intensity`.

Two rules where the formats leave the runtime a choice:

- Statistics "of the data set" (0.4: ``mode: per_dataset``; 0.5: `axes` missing or with ``batch``) are nowhere in a
  package. They are taken from the image, which is remarked.
- `fixed_zero_mean_unit_variance` divides by ``std + 1e-6``, as bioimageio.core does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carezoo import intensity
from carezoo.errors import ManifestError, UnsupportedError
from carezoo.intensity import Operation
from carezoo.package.document import Entry
from carezoo.package.tensors import Axis

FIXED_EPS = 1e-6

DTYPES = frozenset(
    {
        *("float32", "float64", "bool"),
        *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    }
)

CODE = frozenset({"custom", "stardist_postprocessing", "cellpose_flow_dynamics"})
"""Operations that are programs; `custom` ones come with the package and are never run."""


@dataclass(frozen=True)
class OperationContext:
    """The tensor that operations work on."""

    letters: str
    n_channels: int
    source: str
    """Name of the input tensor."""
    is_input: bool

    @classmethod
    def from_axes(cls, axes: Sequence[Axis], source: str, *, is_input: bool) -> OperationContext:
        """Return the context of a tensor with these axes."""
        n_channels = next((len(axis.names) for axis in axes if axis.letter == "C"), 1)
        return cls("".join(axis.letter for axis in axes), n_channels, source, is_input)


@dataclass(frozen=True)
class Reading:
    """Operations, and what a person should know of how they were understood."""

    operations: tuple[Operation, ...]
    remarks: tuple[str, ...]


def read(entries: Entry | None, subject: OperationContext, *, name_key: str) -> Reading:
    """Read `preprocessing` or `postprocessing` of a tensor.

    The name of an operation stands under `name_key`: ``name`` in format 0.4, ``id`` in 0.5. An operation that is code,
    unknown, or works in a way carezoo cannot follow is an `UnsupportedError`, a wrong value a `ManifestError`.
    """
    operations: list[Operation] = []
    remarks = []
    for entry in entries or ():
        name = entry[name_key].text()
        kwargs = entry.get("kwargs") or Entry({}, f"{entry.path}.kwargs")
        operations += _reader(name, entry)(kwargs, subject)
        if name in STATISTICAL and _is_of_data_set(name, kwargs):
            remarks.append(f"{entry.path} asks for statistics of the data set; they are taken from each image")
    return Reading(tuple(operations), tuple(remarks))


def _reader(name: str, entry: Entry) -> Callable[[Entry, OperationContext], list[Operation]]:
    if name in CODE:
        raise UnsupportedError(
            f"{entry.path}: {name} is a program, not a formula; carezoo never runs code from a package. "
            "Run this model with bioimageio.core"
        )
    if name not in READERS:
        raise UnsupportedError(f"{entry.path}: unknown operation {name!r}; carezoo knows {', '.join(sorted(READERS))}")
    return READERS[name]


def _scale_linear(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    _check_axis(kwargs, subject)
    gain, offset = _numbers(kwargs, "gain", (1.0,)), _numbers(kwargs, "offset", (0.0,))
    _check_counts(kwargs, subject, gain=gain, offset=offset)
    if 0.0 in gain:
        raise kwargs["gain"].error("numbers other than 0")
    return [intensity.Affine(gain, offset)]


def _build_fixed(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    _check_axis(kwargs, subject)
    mean, std = kwargs["mean"].numbers(), kwargs["std"].numbers()
    _check_counts(kwargs, subject, mean=mean, std=std)
    if min(std) <= 0:
        raise kwargs["std"].error("numbers above 0")
    n = max(len(mean), len(std))
    means, widths = mean * (n // len(mean)), tuple(one + FIXED_EPS for one in std) * (n // len(std))
    gain = tuple(1.0 / width for width in widths)
    return [intensity.Affine(gain, tuple(-one / width for one, width in zip(means, widths, strict=True)))]


def _standardize(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    # Format 0.4: one operation with three modes, "fixed" unless said otherwise.
    mode = kwargs.get("mode")
    if (mode is not None and mode.text() == "fixed") or (mode is None and kwargs.get("mean") is not None):
        return _build_fixed(kwargs, subject)
    _check_mode(kwargs)
    return [intensity.Standardize(_eps(kwargs), _is_per_channel(kwargs, subject))]


def _scale_range(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    _check_mode(kwargs)
    low, high = _percentile(kwargs, "min_percentile", 0.0), _percentile(kwargs, "max_percentile", 100.0)
    if low >= high:
        raise ManifestError(f"{kwargs.path}: min_percentile {low:g} is not below max_percentile {high:g}")
    reference = kwargs.get("reference_tensor")
    if reference is not None:
        _check_reference(reference, subject)
        if not subject.is_input:
            raise UnsupportedError(
                f"{reference.path}: scaling an output by percentiles of the input normalizes it a second time with the "
                "input's numbers; carezoo does not run this"
            )
    return [intensity.ScaleRange(low, high, _eps(kwargs), _is_per_channel(kwargs, subject))]


def _match_moments(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    if subject.is_input:
        raise ManifestError(f"{kwargs.path}: scale_mean_variance is an operation for outputs")
    _check_mode(kwargs)
    _check_reference(kwargs["reference_tensor"], subject)
    return [intensity.MatchMoments(_eps(kwargs), _is_per_channel(kwargs, subject))]


def _clip(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    bounds = {key: entry.number() for key in ("min", "max") if (entry := kwargs.get(key))}
    percentiles = {
        key: _percentile(kwargs, f"{key}_percentile", 0.0) for key in ("min", "max") if kwargs.get(f"{key}_percentile")
    }
    for key in bounds.keys() & percentiles.keys():
        raise ManifestError(f"{kwargs.path}: gives both {key} and {key}_percentile")
    if not bounds and not percentiles:
        raise ManifestError(f"{kwargs.path}: clip needs min, max, min_percentile or max_percentile")
    is_per_channel = _is_per_channel(kwargs, subject) if percentiles else True
    return [
        intensity.Clip(
            bounds.get("min"), bounds.get("max"), percentiles.get("min"), percentiles.get("max"), is_per_channel
        )
    ]


def _binarize(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    _check_axis(kwargs, subject)
    threshold = kwargs["threshold"].numbers()
    _check_counts(kwargs, subject, threshold=threshold)
    return [intensity.Binarize(threshold)]


def _sigmoid(_kwargs: Entry, _subject: OperationContext) -> list[Operation]:
    return [intensity.Sigmoid()]


def _softmax(kwargs: Entry, subject: OperationContext) -> list[Operation]:
    _check_axis(kwargs, subject)
    return [intensity.Softmax()]


def _ensure_dtype(kwargs: Entry, _subject: OperationContext) -> list[Operation]:
    dtype = kwargs["dtype"]
    if dtype.text() not in DTYPES:
        raise dtype.error(f"one of {', '.join(sorted(DTYPES))}")
    return [intensity.Cast(dtype.text())]


READERS: dict[str, Callable[[Entry, OperationContext], list[Operation]]] = {
    "binarize": _binarize,
    "clip": _clip,
    "ensure_dtype": _ensure_dtype,
    "fixed_zero_mean_unit_variance": _build_fixed,
    "scale_linear": _scale_linear,
    "scale_mean_variance": _match_moments,
    "scale_range": _scale_range,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "zero_mean_unit_variance": _standardize,
}

STATISTICAL = frozenset({"scale_range", "zero_mean_unit_variance", "scale_mean_variance", "clip"})


def axis_letters(entry: Entry) -> str:
    """Return the axes an operation names, as letters.

    Format 0.4 writes one string (``xy``), 0.5 a list of axis ids (``[batch, y, x]``).
    """
    names = list(entry.value) if isinstance(entry.value, str) else [item.text() for item in entry]
    return "".join(letter_of(name, entry) for name in names)


def letter_of(name: str, entry: Entry) -> str:
    """Return the letter for an axis id of either format."""
    letter = {"batch": "B", "channel": "C", "time": "T", "index": "I"}.get(name, name.upper())
    if letter not in set("BCTIZYX"):
        raise UnsupportedError(
            f"{entry.path}: axis {name!r}; carezoo knows the axes batch, channel, time, z, y and x, one letter each"
        )
    return letter


def _is_per_channel(kwargs: Entry, subject: OperationContext) -> bool:
    """Return whether statistics are taken for each channel, and refuse those of single planes or lines."""
    axes = kwargs.get("axes")
    if axes is None:
        return subject.n_channels == 1
    pooled = axis_letters(axes)
    alone = [letter.lower() for letter in subject.letters if letter not in "BC" and letter not in pooled]
    if alone:
        raise UnsupportedError(
            f"{axes.path}: statistics for every position along {', '.join(alone)}; carezoo takes them over the whole "
            "image, for each channel or for all"
        )
    return subject.n_channels == 1 or "C" not in pooled


def _is_of_data_set(name: str, kwargs: Entry) -> bool:
    if name == "clip" and not any(key.endswith("percentile") for key, _ in kwargs.items()):
        return False
    mode, axes = kwargs.get("mode"), kwargs.get("axes")
    if mode is not None:
        return mode.text() == "per_dataset"
    return kwargs.get("mean") is None and (axes is None or "B" in axis_letters(axes))


def _check_mode(kwargs: Entry) -> None:
    mode = kwargs.get("mode")
    if mode is not None and mode.text() not in {"per_sample", "per_dataset"}:
        raise mode.error("per_sample or per_dataset")


def _check_axis(kwargs: Entry, subject: OperationContext) -> None:
    """Refuse constants along an axis other than the channels (0.5: `axis`; 0.4: `axes` names the other ones)."""
    axis, axes = kwargs.get("axis"), kwargs.get("axes")
    if axis is not None and letter_of(axis.text(), axis) != "C":
        raise UnsupportedError(f"{axis.path}: along axis {axis.text()}; carezoo works along the channels only")
    if axes is not None:
        _is_per_channel(kwargs, subject)


def _check_counts(kwargs: Entry, subject: OperationContext, **values: Sequence[float]) -> None:
    for key, numbers in values.items():
        if len(numbers) not in {1, subject.n_channels}:
            raise ManifestError(
                f"{kwargs.path}.{key}: {len(numbers)} numbers for {subject.n_channels} channel(s); expected one, or "
                "one for each"
            )


def _check_reference(reference: Entry, subject: OperationContext) -> None:
    if reference.text() != subject.source:
        raise ManifestError(f"{reference.path}: no input tensor {reference.text()!r}; found {subject.source}")


def _numbers(kwargs: Entry, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    entry = kwargs.get(key)
    return default if entry is None else entry.numbers()


def _eps(kwargs: Entry) -> float:
    entry = kwargs.get("eps")
    if entry is None:
        return 1e-6
    if not 0 < entry.number() <= 0.1:
        raise entry.error("a number above 0, at most 0.1")
    return entry.number()


def _percentile(kwargs: Entry, key: str, default: float) -> float:
    entry = kwargs.get(key)
    if entry is None:
        return default
    if not 0 <= entry.number() <= 100:
        raise entry.error("a percentile between 0 and 100")
    return entry.number()
