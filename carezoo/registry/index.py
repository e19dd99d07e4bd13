"""`index.json` of a zoo: what models there are, in what versions, and the hash of every zip.

A superset of the index of bioimage.io, so that its readers find what they know. Everything that a list or a gallery
shows stands here; no package has to be opened, or downloaded, to choose one.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from carezoo.errors import UnknownModelError, ZooError
from carezoo.package.document import Entry
from carezoo.package.section import SCHEMA as PACKAGE_SCHEMA

NAME = "index.json"

SCHEMA = 1
"""Of the index. A reader refuses newer ones."""

MAX_BYTES = 32 << 20
"""The largest index that is read; one of 1000 versions has about two megabytes."""

Layout = Literal["unpacked", "zips"]
"""`unpacked`: beside every zip its files, for readers that fetch rdf.yaml; `zips`: nothing but zips."""

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Zip:
    """The package as one file."""

    url: str
    """Relative to the index, or an address of its own."""
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Version:
    """One version of one model; it never changes once it is published."""

    model: str
    """Name of the model."""
    version: str
    created_at: str
    """ISO 8601, as the package says."""
    source: str
    """rdf.yaml for readers of bioimage.io, relative to the index; the zip where nothing is unpacked."""
    sha256: str
    """Of rdf.yaml, which holds the hashes of the other files."""
    zip: Zip
    comment: str = ""
    schema: int = PACKAGE_SCHEMA
    """Of `config.carezoo`: what a carezoo must know to run it."""
    title: str = ""
    description: str = ""
    task: str = ""
    axes: str = ""
    """Spatial axes of the input: YX or ZYX."""
    channels: tuple[str, ...] = ()
    """Of the input."""
    results: tuple[str, ...] = ()
    """mean, scale, disagreement."""
    n_members: int = 1
    license: str = ""
    tags: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, ...]:
        """What versions are ordered by."""
        return version_key(self.version)

    @property
    def reference(self) -> str:
        """NAME@VERSION, which means this version and no other."""
        return f"{self.model}@{self.version}"

    @property
    def is_compatible(self) -> bool:
        """Whether this carezoo knows how to run it."""
        return self.schema <= PACKAGE_SCHEMA

    @property
    def n_dims(self) -> int:
        """Spatial dimensions of the input."""
        return len(self.axes)


@dataclass(frozen=True)
class Index:
    """All models of a zoo, sorted by name and version."""

    versions: tuple[Version, ...] = ()
    layout: Layout = "unpacked"
    url: str = ""
    """Where the zoo will be served; known or not, the index works everywhere."""

    def names(self) -> list[str]:
        """Return the models' names in alphabetical order."""
        return sorted({each.model for each in self.versions})

    def of(self, name: str) -> tuple[Version, ...]:
        """Return the versions of a model, oldest first; empty if there is none."""
        return tuple(each for each in self.versions if each.model == name)

    def newest(self) -> tuple[Version, ...]:
        """Return the newest version of every model."""
        return tuple(self.of(name)[-1] for name in self.names())

    def with_version(self, version: Version) -> Index:
        """Return the index with one more version, in its place."""
        return replace(self, versions=sort_versions((*self.versions, version)))


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by: their numbers."""
    return tuple(int(part[:18]) for part in re.findall(r"\d+", version))


def make_unknown_error(name: str, known: Iterable[str], where: str) -> UnknownModelError:
    """Return the error that there is no model `name`, with the nearest names."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:10]
    advice = f"Did you mean {', '.join(near)}?" if near else "No models are known."
    return UnknownModelError(f"no model {name!r} {where}. {advice} carezoo list shows all")


def render(index: Index) -> bytes:
    """Return `index.json`, the same bytes for the same models, one fact a line."""
    items = [
        {"id": name, "type": "model", "versions": [_render(version) for version in index.of(name)]}
        for name in index.names()
    ]
    content = {
        "carezoo_zoo": SCHEMA,
        "layout": index.layout,
        "url": index.url or None,
        "timestamp": max((each.created_at for each in index.versions), default=None),
        "total": len(items),
        "count_per_type": {"model": len(items)},
        "items": items,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse(content: bytes, name: str) -> Index:
    """Read `index.json`, which may come from anybody; messages call it `name`.

    Raises
    ------
    ZooError
        If it is not an index, was written for a newer carezoo, names files outside the zoo, or lists a version twice.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ZooError(f"{name} is not readable JSON: {error}. Is this the address of a zoo?") from error
    try:
        return _parse(Entry(value, name))
    except ZooError:
        raise
    except Exception as error:  # messages of Entry name the place; a wrong shape may surface as any error
        raise ZooError(f"not the index of a zoo: {error}") from error


def _render(version: Version) -> dict[str, Any]:
    values = asdict(version)
    first = ("version", "comment", "created_at", "source", "sha256", "zip")
    rest = {key: value for key, value in values.items() if key not in (*first, "model") and value}
    return {**{key: values[key] for key in first}, **rest}


def _parse(root: Entry) -> Index:
    schema = root["carezoo_zoo"].integer(at_least=1)
    if schema > SCHEMA:
        raise ZooError(
            f"{root.path} is written in schema {schema}, this carezoo reads up to {SCHEMA}. "
            "Update: pip install -U carezoo"
        )
    layout: Layout = "zips" if root.get("layout") and root["layout"].text() == "zips" else "unpacked"
    versions = [
        _version(entry, _check_pattern(item["id"], MODEL_NAME, "the name of a model, such as denoise-nuclei-2d"))
        for item in root["items"]
        if item["type"].text() == "model"
        for entry in item["versions"]
    ]
    references = [each.reference for each in versions]
    twice = sorted({each for each in references if references.count(each) > 1})
    if twice:
        raise ZooError(f"{root.path}: {', '.join(twice)} is listed twice")
    return Index(sort_versions(versions), layout, _text(root, "url"))


def _version(entry: Entry, model: str) -> Version:
    archive = entry["zip"]
    scores = entry.get("scores")
    return Version(
        model=model,
        version=_check_pattern(entry["version"], VERSION, "a version of three numbers, such as 1.2.0"),
        created_at=entry["created_at"].text(),
        source=_check_url(entry["source"]),
        sha256=_check_pattern(entry["sha256"], _SHA256, "a sha256 of 64 hexadecimal digits"),
        zip=Zip(
            _check_url(archive["url"]),
            _check_pattern(archive["sha256"], _SHA256, "a sha256 of 64 hexadecimal digits"),
            archive["size"].integer(at_least=1),
        ),
        comment=_text(entry, "comment"),
        schema=entry["schema"].integer(at_least=1),
        title=_text(entry, "title"),
        description=_text(entry, "description"),
        task=_text(entry, "task"),
        axes=_text(entry, "axes"),
        channels=_texts(entry, "channels"),
        results=_texts(entry, "results"),
        n_members=entry["n_members"].integer(at_least=1) if entry.get("n_members") else 1,
        license=_text(entry, "license"),
        tags=_texts(entry, "tags"),
        scores={key: value.number() for key, value in scores.items()} if scores else {},
    )


def sort_versions(versions: Iterable[Version]) -> tuple[Version, ...]:
    """Return versions by name, and each model's oldest first."""
    return tuple(sorted(versions, key=lambda each: (each.model, each.key)))


def _check_pattern(entry: Entry, pattern: re.Pattern[str], expected: str) -> str:
    text = entry.text()
    if not pattern.fullmatch(text) or ".." in text:
        raise entry.error(expected)
    return text


def _check_url(entry: Entry) -> str:
    """Return the place of a file: below the index, or on a server; never elsewhere on this machine."""
    text = entry.text()
    is_address = re.match(r"(https?|s3|gs)://[^/]", text)
    is_below = re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", text) and ".." not in text.split("/")
    if not is_address and not is_below:
        raise entry.error("a path below the index, or an address with https://")
    return text


def _text(entry: Entry, key: str) -> str:
    found = entry.get(key)
    return found.text() if found else ""


def _texts(entry: Entry, key: str) -> tuple[str, ...]:
    found = entry.get(key)
    return tuple(each.text() for each in found) if found else ()
