"""Which files are images, and which images are pairs: one rule for commands, recipes, Fiji and KNIME.

A folder means the images that lie in it, sorted by name: TIFF, OME-Zarr folders, and the microscope formats whose
reader is installed. PNG, JPEG, NPY and HDF5 may be previews, plots or weights: they count where the folder holds
nothing else. Hidden files are no images (macOS keeps one beside each image), nor are files that carezoo has
written; of a multi-file OME-TIFF the first file stands for all; other subfolders are not looked into. An image that is
named by itself is taken whatever it is called.

A source and a target are a pair if their names are equal before the suffix: ``f0.tif`` and ``f0.ome.tiff``.
"""

from __future__ import annotations

import difflib
import errno
import logging
import os
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from carezoo.errors import FileFormatError, InputError, MissingExtraError
from carezoo.files import formats, tiff_read, zarr_read

log = logging.getLogger("carezoo")

SUFFIXES = (*formats.TIFF_SUFFIXES, *formats.FORMATS)
"""Of images, in lower case; names are compared without case."""

_MOST_NAMES = 5


@dataclass(frozen=True)
class Listing:
    """What a folder holds, sorted by name."""

    folder: Path
    pattern: str
    """What narrows the images by their names."""
    images: tuple[Path, ...]
    unreadable: tuple[Path, ...]
    """Images whose reader is not installed."""
    results: tuple[Path, ...]
    """Images that carezoo has written."""
    others: tuple[Path, ...]
    """Everything else that is not hidden."""

    def require_images(self) -> tuple[Path, ...]:
        """Return the images.

        Raises
        ------
        InputError
            If there are none.
        MissingExtraError
            If there are only such whose reader is not installed.
        """
        if self.unreadable and not self.images:
            raise self.missing_reader()
        if not self.images:
            raise InputError(f"folder {self.folder} holds {self._contents()}")
        return self.images

    def missing_reader(self) -> MissingExtraError:
        """Return the error that names the unreadable images, and what to install for them."""
        purpose = f"to read {len(self.unreadable)} image(s) in {self.folder} ({_names(self.unreadable)})"
        return MissingExtraError.of("a reader", "formats", purpose)

    def _contents(self) -> str:
        """Return what is there instead of images, and what to do about it."""
        if self.results:
            return f"{len(self.results)} result(s) of carezoo and no other image; name the files that are meant"
        narrowed = "" if self.pattern == "*" else f" that matches {self.pattern!r}"
        wanted = f"no image ({', '.join(SUFFIXES)}){narrowed}"
        if not self.others:
            return f"{wanted}: it is empty"
        return f"{wanted}: there are {len(self.others)} other entries, such as {self.others[0].name}"


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder of images; a Zarr folder is one file."""
    return path.is_dir() and not zarr_read.is_zarr(path)


def is_image(path: Path) -> bool:
    """Return whether an entry of a folder is an image by its name and kind; nothing is read."""
    if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
        return False
    return path.is_dir() if path.suffix.lower() == ".zarr" else path.is_file()


def _is_always_image(path: Path) -> bool:
    kind = formats.find_format(path)
    return kind is None or kind.is_always_image


def stem(path: Path) -> str:
    """Return the name of an image before its suffix: ``f0`` of ``f0.tif``, ``f0.ome.tiff`` and ``f0.czi``."""
    name = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return name[: -len(".ome")] if name.lower().endswith(".ome") else name


def list_folder(folder: Path, pattern: str = "*") -> Listing:
    """Sort out what a folder holds; `pattern` narrows the images by their names, without case."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    named = [path for path in entries if is_image(path) and fnmatchcase(path.name.lower(), pattern.lower())]
    readable = [path for path in named if formats.missing_package(path) is None]
    results = [path for path in readable if find_origin(path) is not None]
    sources = [path for path in readable if path not in results]
    images = [path for path in sources if _is_always_image(path)] or sources
    named = [path for path in named if path in images or path not in sources]
    return Listing(
        folder,
        pattern,
        tuple(take_each_set_once(images)),
        tuple(path for path in named if path not in readable),
        tuple(results),
        tuple(path for path in entries if path not in named),
    )


def images_in(path: Path, pattern: str = "*") -> list[Path]:
    """Return the images that a path means: those of a folder sorted by name, or the one it names.

    What is left out of a folder although it is an image is said in the log.

    Parameters
    ----------
    path
        A folder, or one image.
    pattern
        Narrows the images of a folder by their names, such as "*_c0.tif"; without case.

    Raises
    ------
    InputError
        If the path does not exist, or the folder holds no image.
    MissingExtraError
        If the folder holds only images whose reader is not installed.
    """
    require_there(formats.split_inner(path)[0])
    if not is_folder(path):
        return [path]
    found = list_folder(path, pattern)
    images = list(found.require_images())
    if found.unreadable:
        log.warning("left out: %s", found.missing_reader())
    _log_left_out(found.results, f"in {path}")
    return images


def collect_images(paths: Sequence[Path]) -> list[Path]:
    """Return the images that several paths mean, each once, in the order in which they are named.

    A result that is named together with the image it was made from (as ``*.tif`` names them) is left out, so that the
    same call can be made again with results beside the images. A result that is named by itself is taken, and so is a
    file that does not exist: whoever opens it says so.

    Raises
    ------
    InputError, MissingExtraError
        As `images_in`, for a folder.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for image in images_in(path) if is_folder(path) else [path]:
            found.setdefault(real_path(image), image)
    results = {real for real in found if real.parent / (find_origin(real) or "") in found}
    _log_left_out(results, "beside the images they were made from")
    return take_each_set_once([image for real, image in found.items() if real not in results])


def take_each_set_once(paths: Sequence[Path]) -> list[Path]:
    """Return paths without later files of the same multi-file OME-TIFF: each of them opens the whole."""
    taken: set[Path] = set()
    kept = []
    for path in paths:
        members = {real_path(member) for member in tiff_read.files_of(path)}
        if len(members) == 1 or not members & taken:
            kept.append(path)
            taken |= members
    return kept


def match(sources: Sequence[Path], targets: Sequence[Path], pattern: str = "*") -> list[tuple[Path, Path]]:
    """Return pairs of a source and a target image, in the order of the sources.

    Single images on both sides, as many sources as targets, are paired in the order given, whatever they are called.
    Otherwise names decide: those before the suffix are equal. Sources of several folders may share a target; targets
    without source are left out.

    Parameters
    ----------
    sources, targets
        Folders, or single images.
    pattern
        Narrows the images of the folders, as in `images_in`.

    Raises
    ------
    InputError
        If a path does not exist, a folder holds no image, a source has no target, or a name does not decide: two
        targets, or two sources of one folder, differ in their suffixes only.
    MissingExtraError
        If a folder holds only images whose reader is not installed.
    """
    if len(sources) == len(targets) and not any(is_folder(path) for path in (*sources, *targets)):
        return list(zip(sources, targets, strict=True))
    degraded, clean = ([image for path in side for image in images_in(path, pattern)] for side in (sources, targets))
    _require_one_each(degraded, lambda image: (image.parent, stem(image)), "sources")
    stems = {stem(image) for image in degraded}
    _require_one_each([image for image in clean if stem(image) in stems], stem, "targets")
    by_stem = {stem(image): image for image in clean}
    missing = [image for image in degraded if stem(image) not in by_stem]
    if missing:
        near = difflib.get_close_matches(stem(missing[0]), by_stem, n=1)
        nearest = f"; the nearest name there is {by_stem[near[0]].name}" if near else ""
        raise InputError(
            f"{len(missing)} of {len(degraded)} source files have no target of the same name in "
            f"{', '.join(map(str, targets))}: {_names(missing)}{nearest}. The names of source and target are equal "
            "before the suffix; rename them, or list single files of both sides in the same order"
        )
    return [(image, by_stem[stem(image)]) for image in degraded]


def find_origin(path: Path) -> str | None:
    """Return the name of the image that a file is the result of.

    None if carezoo did not write the file, or it cannot be read; empty if the file does not say what it was made from.
    """
    if not path.is_file():
        return None
    try:
        notes = (tiff_read.read_notes(path) or {}).get("carezoo") if tiff_read.is_tiff(path) else None
    except FileFormatError:
        return None
    if not isinstance(notes, dict) or "run" not in notes:
        return None
    image = notes.get("input")
    return str(image.get("name", "")) if isinstance(image, dict) else ""


def require_there(path: Path) -> None:
    """Raise InputError if a path does not exist; the message says what is there instead, or where a link leads."""
    if path.exists():
        return
    if not path.is_symlink():
        raise InputError(f"{path} does not exist.{near_names(path)}")
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path} is a link that leads back to itself; name the file itself") from error
    raise InputError(
        f"{path} is a link to {path.readlink()}, which does not exist. Its disk may not be mounted; or name the file "
        "itself"
    )


def real_path(path: Path) -> Path:
    """Return where a path leads, absolute; a link that leads back to itself stays as it is."""
    return Path(os.path.realpath(path))


def near_names(path: Path) -> str:
    """Return a sentence that says what is there instead of a path that does not exist; empty if nothing is like it."""
    if not path.parent.is_dir():
        return f" Neither does the folder {path.parent}"
    near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=3)
    return f" The folder {path.parent} has {', '.join(near)}" if near else ""


def _require_one_each(images: Sequence[Path], key: Callable[[Path], Hashable], side: str) -> None:
    """Raise InputError if two images have one key."""
    seen: dict[Hashable, Path] = {}
    for image in images:
        first = seen.setdefault(key(image), image)
        if first != image:
            raise InputError(
                f"two {side} are called {stem(image)}: {first} and {image}. The name before the suffix decides which "
                "files are a pair; keep one of the two there. In a recipe, choose with pattern or make two sets"
            )


def _log_left_out(results: Collection[Path], where: str) -> None:
    if results:
        log.info("%d result(s) of carezoo %s are left out", len(results), where)


def _names(paths: Sequence[Path]) -> str:
    """Return the first names of some files, and how many there are besides."""
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    return ", ".join(path.name for path in paths[:_MOST_NAMES]) + more
