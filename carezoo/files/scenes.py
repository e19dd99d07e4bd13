"""Files that hold several images (scenes, series, positions): which one is meant, and how results are called."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carezoo.errors import FileFormatError

log = logging.getLogger("carezoo")

ALL = "all"
"""What means every image of a file, where a command takes several."""

_MOST_NAMES = 12
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class Scene:
    """One image of a file."""

    number: int
    """From 0, in the order of the file."""
    label: str
    """What the names of its results carry; empty if the file holds no other image."""


def choose_number(path: Path, names: Sequence[str], asked: int | str | None) -> int:
    """Return the number of the image that is meant: a name, or a number from 0 as an integer or a text.

    None means the first, and says so in the log if there are others.

    Raises
    ------
    FileFormatError
        If the file has no such image, or several of that name; the message lists those it has.
    """
    if asked is None:
        if len(names) > 1:
            log.warning(
                "%s holds %d images (%s); the first is taken. Choose with --scene NAME, NUMBER or all (scene= in "
                "Python)",
                path.name, len(names), _list_names(names),
            )  # fmt: skip
        return 0
    if isinstance(asked, str) and names.count(asked) == 1:
        return names.index(asked)
    if isinstance(asked, str) and asked in names:
        numbers = [str(number) for number, name in enumerate(names) if name == asked]
        raise FileFormatError(f"{path} has {len(numbers)} scenes {asked!r}; choose by number: {', '.join(numbers)}")
    is_number = isinstance(asked, int) or re.fullmatch(r"\d+", asked) is not None
    if is_number and 0 <= int(asked) < len(names):
        return int(asked)
    raise FileFormatError(
        f"{path} has no scene {asked!r}; it has {_list_names(names)} (numbers from 0 to {len(names) - 1} work as well)"
    )


def choose(path: Path, names: Sequence[str], asked: int | str) -> tuple[Scene, ...]:
    """Return the images that are meant, as `choose_number`; `ALL` means all of them, also where one has that name."""
    if len(names) == 1 and asked == ALL:
        return (Scene(0, ""),)
    numbers = range(len(names)) if asked == ALL else [choose_number(path, names, asked)]
    labels = _labels(names)
    return tuple(Scene(number, labels[number]) for number in numbers)


def _labels(names: Sequence[str]) -> list[str]:
    """Return names that may stand in file names, each once."""
    if len(names) == 1:
        return [""]
    plain = [_NOT_IN_NAMES.sub("-", name).strip("-.") for name in names]
    is_clear = all(plain) and len({label.lower() for label in plain}) == len(plain)
    return plain if is_clear else [f"{number}-{label}".rstrip("-") for number, label in enumerate(plain)]


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
