"""What a new version may change: patch words only, minor the weights under the same contract, major anything.

The contract is what a user's script or another program relies on: tensors, axes, sizes, factors, channels, intensities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from carezoo.errors import ZooError
from carezoo.package.read import Package
from carezoo.registry.index import Version, version_key

Change = Literal["words", "weights", "contract"]

LEVELS: Mapping[Change, str] = {"words": "patch", "weights": "minor", "contract": "major"}
"""Which number has to grow for a change."""

_TENSOR_KEYS = ("id", "axes", "data", "preprocessing", "postprocessing")

_SECTION_KEYS = ("task", "axes", "factors", "input_channels", "channels", "intensity")


def predecessor(versions: tuple[Version, ...], version: str) -> Version | None:
    """Return the newest version below `version`, or None."""
    older = [each for each in versions if each.key < version_key(version)]
    return max(older, key=lambda each: each.key) if older else None


def change(old: Package, new: Package) -> Change:
    """Return the largest change from one package to another."""
    if contract(old) != contract(new):
        return "contract"
    if _weights(old) != _weights(new):
        return "weights"
    return "words"


def contract(package: Package) -> Mapping[str, Any]:
    """Return what others rely on, as plain values to compare.

    The halo is no part of it, nor the smallest tile that other readers derive from it: they read both anew.
    """
    rdf, section = package.manifest.rdf, package.manifest.carezoo
    tensors = {
        kind: [_tensor(tensor) for tensor in rdf.get(kind) or () if isinstance(tensor, dict)]
        for kind in ("inputs", "outputs")
    }
    found: Mapping[str, Any] = _without_halo({**tensors, **{key: section.get(key) for key in _SECTION_KEYS}})
    return found


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tensor.get(key) for key in _TENSOR_KEYS}


def _without_halo(value: Any) -> Any:
    """Return plain values without halos, and without the smallest sizes of the format, which are more than two."""
    if isinstance(value, list):
        return [_without_halo(each) for each in value]
    if not isinstance(value, dict):
        return value
    is_format_size = value.keys() == {"min", "step"}
    return {
        key: _without_halo(each)
        for key, each in value.items()
        if key != "halo" and not (key == "min" and is_format_size)
    }


def require_version(old: Package | None, new: Package) -> str:
    """Check a version number against what has changed, and return in words what it is.

    Raises
    ------
    ZooError
        If the number promises less change than there is.
    """
    if old is None:
        return "the first version"
    before, after = old.manifest.version, new.manifest.version
    found = change(old, new)
    needed = _next(before, found)
    if version_key(after) < version_key(needed):
        raise ZooError(
            f"{new.manifest.id} {after}: {_told(found)} since {before}, so its version has to be {needed} or higher. "
            "Patch means words only, minor new weights under the same contract, major another contract"
        )
    return f"{_told(found)} since {before}"


def _next(version: str, found: Change) -> str:
    major, minor, patch = version_key(version)
    return {
        "words": f"{major}.{minor}.{patch + 1}",
        "weights": f"{major}.{minor + 1}.0",
        "contract": f"{major + 1}.0.0",
    }[found]


def _told(found: Change) -> str:
    return {
        "words": "only words have changed",
        "weights": "the weights have changed",
        "contract": "the contract (tensors, axes, channels or intensities) has changed",
    }[found]


def _weights(package: Package) -> tuple[str | None, ...]:
    weights, hashes = package.manifest.weights, package.manifest.hashes
    return tuple(hashes.get(path) for path in (weights.path, weights.external_data) if path)
