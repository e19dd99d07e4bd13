"""What every program that hosts carezoo needs: models that stay loaded, and errors as type, message and hint."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from carezoo import api
from carezoo.errors import (
    AxesError,
    BugError,
    Cancelled,
    CarezooError,
    DownloadError,
    InputError,
    IntegrityError,
    OutOfMemoryError,
    ProviderError,
    UnknownModelError,
    bug,
)
from carezoo.registry import catalog
from carezoo.registry.resolve import resolve

log = logging.getLogger("carezoo")

HINTS: dict[type[Exception], str] = {
    AxesError: "Say which dimension is which: in ImageJ with Image > Properties... (channels, slices, frames), "
    "or choose another model.",
    UnknownModelError: "The command CARE Get Models... lists and fetches models; so do carezoo list and carezoo pull.",
    DownloadError: "Models that are on this computer already work without a network.",
    IntegrityError: "Fetch the model again.",
    OutOfMemoryError: "Close other images, or give a smaller tile.",
    ProviderError: "Choose provider auto, or run carezoo doctor.",
    Cancelled: "No image was changed.",
    BugError: "Please report it with what the log says.",
}
"""What to do next, for the nearest class of an error; the messages themselves say the rest."""


@dataclass(frozen=True)
class Problem:
    """An error as a host shows it: one dialog or one log line."""

    type: str
    """Name of the class in `carezoo.errors`, for scripts."""
    message: str
    """What was expected, what was found, where."""
    hint: str = ""
    """What to do next in the host, where the message does not say it."""

    @classmethod
    def from_error(cls, error: BaseException) -> Problem:
        """Return what to tell of `error`."""
        if isinstance(error, CarezooError):
            hint = next((HINTS[kind] for kind in type(error).__mro__ if kind in HINTS), "")
            # Modules have finer classes of their own; scripts get the class of the public tree.
            public = next(kind for kind in type(error).__mro__ if kind.__module__ == CarezooError.__module__)
            return cls(public.__name__, str(error), hint)
        if isinstance(error, MemoryError):
            text = f"there is not enough memory for the result: {error}".rstrip(": ")
            return cls(OutOfMemoryError.__name__, text, HINTS[OutOfMemoryError])
        if isinstance(error, OSError):
            return cls(InputError.__name__, str(error), "Check that the file exists and that the disk is not full.")
        return cls(type(error).__name__, bug(error), HINTS[BugError])

    @property
    def text(self) -> str:
        """Message and hint for a dialog."""
        return "\n".join(part for part in (self.message, self.hint) if part)

    @property
    def line(self) -> str:
        """Type and message in one line, for a log."""
        return f"{self.type}: {self.message}".replace("\n", " ")


class LoadedModels:
    """Models by reference, kept with their networks until `n_kept` others have been used.

    A package that changed on disk is loaded again.
    """

    def __init__(self, n_kept: int = 2) -> None:
        self._n_kept = n_kept
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple[Path, int], api.Model] = OrderedDict()

    def get(self, reference: str) -> api.Model:
        """Return the model `reference` (name, NAME@VERSION, or path of a package) means.

        Raises
        ------
        UnknownModelError, ZooError, PackageError
            If there is none, or it cannot be used.
        """
        path = resolve(reference).path.resolve()
        key = (path, path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._models:
                self._models[key] = api.load(path)
            self._models.move_to_end(key)
            while len(self._models) > self._n_kept:
                self._models.popitem(last=False)
            return self._models[key]


@dataclass(frozen=True)
class ModelChoice:
    """A model that can be chosen here and now."""

    name: str
    version: str
    description: str
    axes: str
    results: tuple[str, ...]


def list_choices() -> list[ModelChoice]:
    """Return the newest version of every model on this computer, by name; a damaged one is left out with a warning."""
    found = []
    for entry in catalog.list_here():
        try:
            manifest = api.load(entry.path).manifest
        except CarezooError as error:
            log.warning("%s: %s", entry.name, error)
            continue
        results = tuple(result.name for result in manifest.results)
        found.append(ModelChoice(entry.name, entry.version, manifest.description, manifest.spatial_axes, results))
    return found
