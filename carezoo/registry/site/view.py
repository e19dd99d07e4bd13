"""What a page says of a model: words and numbers out of index and package, before any HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carezoo.package.read import Package
from carezoo.package.section import write_calibration
from carezoo.registry.index import Version
from carezoo.tasks import TASKS

_SCORES = {
    "psnr_gain_db": ("gain in PSNR", "{:+.1f} dB"),
    "psnr_db": ("PSNR", "{:.1f} dB"),
    "psnr_db_input": ("PSNR of the input", "{:.1f} dB"),
    "psnr_db_best_baseline": ("PSNR of the best classical method", "{:.1f} dB"),
    "ssim": ("SSIM", "{:.3f}"),
    "ssim_input": ("SSIM of the input", "{:.3f}"),
    "nrmse": ("NRMSE", "{:.4f}"),
    "nrmse_input": ("NRMSE of the input", "{:.4f}"),
    "gain_error": ("error of the intensities' gain", "{:+.1%}"),
    "offset_error": ("error of the intensities' offset", "{:+.1%}"),
    "n_images": ("images scored", "{:.0f}"),
}
"""Scores that the pages name; others are shown by their key."""


Fact = tuple[str, str]
"""Name and value, a line of a table."""


@dataclass(frozen=True)
class Card:
    """A model in the gallery."""

    name: str
    version: str
    title: str
    description: str
    task: str
    """As the filter has it."""
    task_in_words: str
    dims: str
    channels: str
    kind: str
    """What comes out beside the restored image."""
    is_probabilistic: bool
    gain: str
    gain_db: float
    """For sorting; very low where there is no score."""
    size: str
    size_bytes: int
    license: str
    tags: tuple[str, ...]
    words: str
    """What the search looks through."""


def card_of(version: Version) -> Card:
    """Return what the gallery shows of a version."""
    gain = version.scores.get("psnr_gain_db")
    words = (version.model, version.title, version.description, version.license, *version.tags, *version.channels)
    return Card(
        name=version.model,
        version=version.version,
        title=version.title or version.model,
        description=version.description,
        task=version.task or "other",
        task_in_words=_task(version) or "other",
        dims=f"{version.n_dims}D",
        channels=", ".join(version.channels),
        kind=_kind(version),
        is_probabilistic="scale" in version.results,
        gain="" if gain is None else f"{gain:+.1f} dB",
        gain_db=-1e9 if gain is None else gain,
        size=size(version.zip.size),
        size_bytes=version.zip.size,
        license=version.license or "not told",
        tags=version.tags,
        words=" ".join(words).lower(),
    )


def size(n_bytes: int) -> str:
    """Return a file size in words."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.0f} kB"


def scores_of(version: Version) -> list[Fact]:
    """Return the scores of a version, those with a name first."""
    named = [(name, form.format(version.scores[key])) for key, (name, form) in _SCORES.items() if key in version.scores]
    others = [(_words(key), f"{value:g}") for key, value in version.scores.items() if key not in _SCORES]
    return named + others


def calibration_of(package: Package) -> list[Fact]:
    """Return what the package says of how far its uncertainty can be trusted; empty where it says nothing."""
    calibration = package.manifest.carezoo.calibration
    return list(_flat(write_calibration(calibration), ())) if calibration else []


def facts_of(version: Version, package: Package) -> list[Fact]:
    """Return what a person asks before using a model."""
    manifest, rdf = package.manifest, package.manifest.rdf
    sizes = manifest.input.pixel_size_um
    network = manifest.carezoo.network
    found = {
        "task": _task(version),
        "images": f"{version.n_dims}D ({version.axes}), channels: {', '.join(version.channels)}",
        "gives": _kind(version),
        "trained at": ", ".join(f"{letter} {value:g}" for letter, value in sizes.items()) + " µm per pixel"
        if sizes
        else "",
        "parameters": f"{network.n_parameters:,}" if network and network.n_parameters else "",
        "download": size(version.zip.size),
        "licence": version.license or "not told",
        "authors": ", ".join(str(author.get("name", "")) for author in _mappings(rdf.get("authors"))),
        "tuned from": _parent(rdf.get("parent")),
    }
    return [(name, value) for name, value in found.items() if value]


def _task(version: Version) -> str:
    """Return the task in words, or as it is called where this carezoo does not know it."""
    return TASKS[version.task].title if version.task in TASKS else version.task


def _kind(version: Version) -> str:
    words = {"mean": "restored image", "scale": "uncertainty of each pixel", "disagreement": "disagreement of members"}
    told = ", ".join(words.get(result, result) for result in version.results)
    return f"{told} (ensemble of {version.n_members})" if version.n_members > 1 else told


def _flat(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, str(key)))
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            yield (_words(" ".join((*path, str(key)))), shown)


def _parent(parent: Any) -> str:
    return f"{parent.get('id', '')} {parent.get('version', '')}".strip() if isinstance(parent, Mapping) else ""


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _words(key: str) -> str:
    return key.replace("_", " ")
