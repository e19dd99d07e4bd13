"""Formats beside TIFF, one row each: which suffixes they have, what reads them, and what to install for it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from carezoo.errors import BUGS, CarezooError, FileFormatError, MissingExtraError, is_raised_in
from carezoo.files import readers, scenes, zarr_read
from carezoo.files.stored_pixels import Array, Region, StoredFile, StoredImage
from carezoo.image import Image

TIFF_SUFFIXES = (".tif", ".tiff", ".lsm", ".stk", ".svs")
_HDF5_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Format:
    """A kind of file that carezoo knows by its suffix."""

    name: str
    open: Callable[[Path], StoredFile]
    packages: Mapping[str, str] = field(default_factory=dict)
    """Packages of the extra `formats` that read it, by the module each is imported as."""
    libraries: tuple[str, ...] = ()
    """Further modules that see the bytes of the file."""
    is_always_image: bool = True
    """False: such files may be previews, plots or weights; in a folder they count only where nothing else does."""


def _bioio(name: str, *libraries: str) -> Format:
    module = f"bioio_{name.lower()}"
    opened = partial(readers.open_bioio, module=module)
    return Format(name, opened, {"bioio": "bioio", module: module.replace("_", "-")}, libraries)


_HDF5 = Format("HDF5", readers.open_hdf5, {"h5py": "h5py"}, is_always_image=False)
_MRC = Format("MRC", readers.open_mrc, {"mrcfile": "mrcfile"})
_JPEG = Format("JPEG", readers.open_jpeg, is_always_image=False)

FORMATS: dict[str, Format] = {
    ".czi": _bioio("CZI", "aicspylibczi", "pylibCZIrw"),
    ".lif": _bioio("LIF", "liffile"),
    ".nd2": _bioio("ND2", "nd2"),
    ".zarr": Format("Zarr", zarr_read.open_file, {"zarr": "zarr"}),
    ".mrc": _MRC,
    ".mrcs": _MRC,
    ".rec": _MRC,
    **dict.fromkeys(_HDF5_SUFFIXES, _HDF5),
    ".npy": Format("NPY", readers.open_npy, is_always_image=False),
    ".png": Format("PNG", readers.open_png, is_always_image=False),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
}
"""By suffix in lower case. Files with other suffixes go to whatever bioio readers are installed."""

_OTHER = Format("", readers.open_bioio, {"bioio": "bioio"})


def find_format(path: Path) -> Format | None:
    """Return the format of a file by its name, and of a folder by what marks it as Zarr; None if it is not known."""
    return FORMATS.get(".zarr" if zarr_read.is_zarr(path) else path.suffix.lower())


def split_inner(path: Path) -> tuple[Path, str | None]:
    """Return the file and the name inside that ``file.h5:/name`` means; None: no name is given."""
    suffixes = "|".join(map(re.escape, _HDF5_SUFFIXES))
    match = re.fullmatch(rf"(.+(?:{suffixes})):[/\\]+(.+)", str(path), re.IGNORECASE)
    if match is None or path.exists():
        return path, None
    return Path(match[1]), match[2].replace("\\", "/")


def missing_package(path: Path) -> str | None:
    """Return the package without which a file of this suffix cannot be read; None if it can. Nothing is imported."""
    found = FORMATS.get(path.suffix.lower())
    needed = found.packages if found else {}
    return next((package for module, package in needed.items() if importlib.util.find_spec(module) is None), None)


def open_other(path: Path, axes: str | None, scene: int | str | None) -> Image:
    """Open a file that is not TIFF; parameters and errors as in `carezoo.files.open_image`."""
    kind = find_format(path) or _OTHER
    with _reading(path, kind):
        opened = kind.open(path)
        stored = opened.read(scenes.choose_number(path, opened.scenes, scene))
        return _guard(stored, path, kind).to_image(axes)


def read_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file that is not TIFF."""
    kind = find_format(path) or _OTHER
    with _reading(path, kind):
        return kind.open(path).scenes


@contextmanager
def _reading(path: Path, kind: Format) -> Iterator[None]:
    """Make FileFormatErrors of what the reader of a file raises; a bug stays one."""
    for module, package in kind.packages.items():
        _require(module, package, path, kind)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the readers' own dependencies: nothing a user could act on
            yield
    except CarezooError:
        raise
    except Exception as error:  # every reader has its own
        if _is_bug(error, kind):
            raise
        if kind is _OTHER:
            raise _make_unknown_error(path) from error
        reason = " ".join(str(error).split())[-200:]  # bioio lists at length who failed, and at the end says why
        *_, reader = kind.packages.values() or ["carezoo"]
        raise FileFormatError(
            f"{path} cannot be read by {reader} ({reason}). It may be damaged; "
            "save it as OME-TIFF from the program that made it"
        ) from error


def _require(module: str, package: str, path: Path, kind: Format) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if kind is _OTHER:
            raise _make_unknown_error(path) from error
        raise MissingExtraError.of(package, "formats", f"to read {kind.name} files") from error


def _guard(stored: StoredImage, path: Path, kind: Format) -> StoredImage:
    return replace(stored, read=partial(_read_region, stored.read, path.name, kind.name))


def _read_region(read: Callable[[Region], Array], name: str, kind: str, region: Region) -> Array:
    """Read a region; what a damaged file makes a reader raise becomes a FileFormatError."""
    try:
        return read(region)
    except CarezooError:
        raise
    except Exception as error:  # every reader has its own
        known = next((each for each in FORMATS.values() if each.name == kind), _OTHER)
        if _is_bug(error, known):
            raise
        place = ", ".join(f"{bound.start}:{bound.stop}" for bound in region)
        raise FileFormatError(
            f"{name}: the pixels at {place} cannot be read ({error}). The file is damaged, or its reader does not know "
            "this kind of scan; save it as OME-TIFF from the program that made it"
        ) from error


def _is_bug(error: Exception, kind: Format) -> bool:
    """Return whether no file is to blame. A part that a damaged file lacks is None in a reader: no bug of ours."""
    modules = [module for module in (*kind.packages, *kind.libraries) if module != "bioio"]
    if isinstance(error, AttributeError | TypeError) and is_raised_in(error, *modules):
        return False
    return isinstance(error, BUGS)


def _make_unknown_error(path: Path) -> FileFormatError:
    known = list(dict.fromkeys(each.name for each in FORMATS.values()))
    alone = [name for name in known if not next(each for each in FORMATS.values() if each.name == name).packages]
    more = [name for name in known if name not in alone]
    return FileFormatError(
        f"{path} has a format carezoo does not know. It reads TIFF, {', '.join(alone)}; {', '.join(more)} with "
        f'pip install "carezoo[formats]"; and whatever other bioio readers are installed for. Or save it as OME-TIFF'
    )
