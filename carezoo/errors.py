"""Every error a user can meet, as one tree. The command line ends with the exit code of the branch.

    CarezooError                1
    +-- BugError                1   a fault of carezoo that ends the work on one of many files, not on the others
    +-- InputError              2   what the user gave: images, axes, options
    |   +-- AxesError               axes string and array do not fit
    |   +-- FileFormatError         a file that cannot be read or written as an image
    |   +-- ConversionError         a model of another program that cannot become a package
    |   +-- PixelError              pixels no restoration can start from: NaN, infinite, empty
    +-- PackageError            3   a model package
    |   +-- ManifestError           rdf.yaml cannot be understood, or contradicts the graph
    |   +-- IntegrityError          wrong or missing hash, hostile archive, file that is not what it claims
    |   +-- UnsupportedError        a valid package that carezoo does not run, and why
    |   +-- CheckError              a package that does not do what it says
    +-- ZooError                4   names, indexes, downloads
    |   +-- UnknownModelError       no such model; the nearest names are offered, never taken
    |   +-- DownloadError           network, server or disk
    |   +-- AlreadyPublishedError   a published version never changes
    +-- RestoreError            5   while restoring
    |   +-- OutOfMemoryError        not even the smallest tile fits
    |   +-- ProviderError           an ONNX Runtime provider that was asked for and does not load
    |   +-- Cancelled               stopped by the user between two tiles
    +-- TrainError              6   while training
    |   +-- RecipeError             a recipe that cannot be followed
    |   +-- DataError               training data that cannot be used
    |   +-- DivergedError           NaN or infinite loss
    |   +-- NoGainError             a model that further training does not make better
    |   +-- ParityError             the exported graph and the network disagree
    +-- MissingExtraError       7   an optional dependency; the message is the pip line

A message says what was expected, what was found, where, and what to do next.
"""

from __future__ import annotations

import platform
import traceback

from carezoo.version import __version__

BUGS = (AttributeError, ImportError, NameError, TypeError)
"""A fault of carezoo, or a library that does not fit it. Whoever reads files lets these pass: no file is blamed."""


def is_raised_in(error: BaseException, *packages: str) -> bool:
    """Return whether `error` was raised in one of `packages` or in what it called.

    A call of `packages` that does not fit them is carezoo's error, not theirs: their code never ran.
    """
    names = {str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)}
    return any(name.partition(".")[0] in packages for name in names)


class CarezooError(Exception):
    """Base of all errors carezoo raises on purpose."""

    exit_code = 1


class BugError(CarezooError):
    """A fault of carezoo that ends the work on one of many files; its cause is the error that nobody foresaw."""

    @classmethod
    def of(cls, error: Exception, where: object) -> BugError:
        """Return what to say of `error`, met while working on `where`."""
        found = cls(f"{where}: {bug(error)}")
        found.__cause__ = error
        return found


class InputError(CarezooError):
    """What the user gave cannot be used."""

    exit_code = 2


class AxesError(InputError):
    """Axes string and array do not fit."""


class FileFormatError(InputError):
    """A file that cannot be read or written as an image."""


class ConversionError(InputError):
    """A model of another program that cannot become a package."""


class PixelError(InputError):
    """Pixels no restoration can start from."""


class PackageError(CarezooError):
    """A model package that cannot be used."""

    exit_code = 3


class ManifestError(PackageError):
    """The manifest cannot be understood, or contradicts the graph."""


class IntegrityError(PackageError):
    """A package whose files are not what they claim to be."""


class UnsupportedError(PackageError):
    """A valid package that carezoo does not run."""


class CheckError(PackageError):
    """A package that does not do what it says."""


class ZooError(CarezooError):
    """Names, indexes, downloads."""

    exit_code = 4


class UnknownModelError(ZooError):
    """No model of that name."""


class DownloadError(ZooError):
    """A download that did not arrive whole."""


class AlreadyPublishedError(ZooError):
    """A published version never changes."""


class RestoreError(CarezooError):
    """A restoration that could not be finished."""

    exit_code = 5


class OutOfMemoryError(RestoreError):
    """Not even the smallest tile fits into memory."""


class ProviderError(RestoreError):
    """A provider that was asked for and does not load."""


class Cancelled(RestoreError):
    """Stopped by the user between two tiles."""


class TrainError(CarezooError):
    """A training that could not be finished."""

    exit_code = 6


class RecipeError(TrainError):
    """A recipe that cannot be followed."""


class DataError(TrainError):
    """Training data that cannot be used."""


class DivergedError(TrainError):
    """The loss became NaN or infinite."""


class NoGainError(TrainError):
    """A model that further training does not make better."""


class ParityError(TrainError):
    """The exported graph and the network disagree."""


class MissingExtraError(CarezooError):
    """An optional dependency is not installed."""

    exit_code = 7

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Return the error for a missing `package` that extra `extra` would install.

        Parameters
        ----------
        package, extra
            Name of the distribution that is missing, and of carezoo's extra that brings it.
        purpose
            What it is needed for, as the end of a sentence: "to read CZI files".
        """
        return cls(f'{package} is needed {purpose} and is not installed. Run: pip install "carezoo[{extra}]"')


def bug(error: BaseException) -> str:
    """Return what to say of an error that nobody raised on purpose: type, message, notes, and the versions at work."""
    from importlib import metadata  # slow, and rarely needed

    versions = [f"{name} {metadata.version(name)}" for name in ("tifffile", "numpy")]
    known = ", ".join([f"carezoo {__version__}", *versions, f"Python {platform.python_version()}"])
    notes = getattr(error, "__notes__", [])
    return "\n".join([f"{type(error).__name__}: {error}", *notes, f"This is a bug in carezoo ({known})"])
