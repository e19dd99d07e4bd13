"""Multi-file OME-TIFF: which files hold one image together, and which of them holds the metadata."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile

from carezoo.errors import FileFormatError

MASTER_SUFFIX = ".ome"
"""Of files that hold the metadata of a set, and no pixels: ``plate.companion.ome``."""


def is_master(path: Path) -> bool:
    """Return whether the file holds OME metadata and no pixels, by its name."""
    return path.suffix.lower() == MASTER_SUFFIX and path.is_file()


def open_set(path: Path, **is_flags: Any) -> TiffFile:
    """Open a TIFF file, with the metadata of its set where they lie in another file; `is_flags` as tifffile has them.

    Raises
    ------
    FileFormatError
        If the set lacks its metadata, or the metadata name no file that is there.
    """
    if not is_master(path):
        tif = TiffFile(path, **is_flags)
        try:
            master = _master_of(tif, path)
        except BaseException:
            tif.close()
            raise
        if master is None:
            return tif
        tif.close()
        return TiffFile(path, omexml=_read_text(master), **is_flags)
    text = _read_text(path)
    listed = _list_files(text, path.parent)
    first = next((file for file in listed if file.is_file()), None)
    if first is None:
        names = ", ".join(file.name for file in listed[:3]) or "none"
        raise FileFormatError(
            f"{path} holds no pixels, and none of the {len(listed)} file(s) it lists ({names}) lies beside it. Copy "
            "the whole set into one folder"
        )
    return TiffFile(first, omexml=text, **is_flags)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that hold the image of a TIFF file or a master, sorted: of most files, the file alone."""
    return tuple(sorted(file for file in _list_set(path) if file.is_file()))


def describe_broken(path: Path) -> str:
    """Return in one sentence which files of the set are missing or damaged; empty if it is whole."""
    broken = []
    for file in sorted(_list_set(path)):
        if not file.is_file():
            broken.append(f"{file} is missing")
        elif not is_master(file):
            try:
                with TiffFile(file) as tif:
                    tif.pages.first  # noqa: B018 - reads it
            except Exception:  # whatever damage makes tifffile raise
                broken.append(f"{file} is damaged")
    return ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")


def _list_set(path: Path) -> set[Path]:
    """Return the files of a set, whether they are there or not, with that of its metadata."""
    if is_master(path):
        return {path, *_list_files(_read_text(path), path.parent)}
    with TiffFile(path) as tif:
        if not tif.is_ome:
            return {path}
        text, master = tif.pages.first.description, _master_of(tif, path)
    return {path, *_list_files(text, path.parent)} if master is None else _list_set(master)


def _master_of(tif: TiffFile, path: Path) -> Path | None:
    """Return the file beside `path` that holds its metadata; None if it holds them itself."""
    if not tif.is_ome or "BinaryOnly" not in tif.pages.first.description:
        return None
    element = _parse(tif.pages.first.description).find("{*}BinaryOnly")
    if element is None:
        return None
    name = _plain_name(element.get("MetadataFile", ""))
    if not name or not (path.parent / name).is_file():
        raise FileFormatError(
            f"{path} is one file of a set, whose metadata lie in {name or 'a file it does not name'}, which is not "
            "beside it. Copy the whole set into one folder"
        )
    master = path.parent / name
    return master if is_master(master) else None


def _read_text(master: Path) -> str:
    try:
        return master.read_text("utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{master} cannot be read as OME-XML: {error}") from error


def _parse(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ElementTree.Element("OME")


def _list_files(text: str, folder: Path) -> list[Path]:
    if "FileName" not in text:
        return []
    elements = _parse(text).iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")
    names = dict.fromkeys(_plain_name(element.get("FileName", "")) for element in elements)
    return [folder / name for name in names if name]


def _plain_name(name: str) -> str:
    """Return a name that stays in its folder: sets lie side by side, whatever their metadata say."""
    return PureWindowsPath(name).name
