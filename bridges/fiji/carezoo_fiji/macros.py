"""What macros ask of the command line when ImageJ was started by itself.

ImageJ's ``exec`` gives a macro what a program wrote on stdout, and nothing else: no errors, no exit code. So everything
is said on stdout, and the last line is the verdict: ``CAREZOO OK`` or ``CAREZOO ERROR TYPE: MESSAGE``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from carezoo.cli import options
from carezoo.errors import Cancelled as Stopped
from carezoo.errors import CarezooError, InputError
from carezoo.files.atomic import require_space
from carezoo.files.listing import list_folder
from carezoo.host import models as hosting
from carezoo.package.info import summary
from carezoo.package.read import open_package
from carezoo.progress import Progress
from carezoo.registry.resolve import pull, resolve
from carezoo.runtime.batch import Order, restore_files
from carezoo.runtime.restore import Settings

AUTO = "auto"

Cancelled = Callable[[], bool]


def answer(
    words: Sequence[str],
    progress: Progress = lambda *_: None,
    cancelled: Cancelled = lambda: False,
) -> int:
    """Answer one request and return the exit code.

    Parameters
    ----------
    words
        A verb, and what it needs.
    progress, cancelled
        Told how much is done, and asked whether to stop, if the verb is one that takes its time.
    """
    words = [word for word in words if word]  # macros fill up with empty ones
    try:
        if not words or words[0] not in _VERBS:
            raise InputError(f"expected one of {', '.join(_VERBS)}, found {' '.join(words)!r}")
        verb, *given = words
        watched = (progress, cancelled) if verb in _WATCHED else ()
        for line in _VERBS[verb](*watched, *given):
            print(line)  # noqa: T201
    except Exception as error:
        problem = hosting.Problem.of(error)
        print(f"CAREZOO ERROR {problem.line} {problem.hint}".rstrip(), flush=True)  # noqa: T201
        return error.exit_code if isinstance(error, CarezooError) else 1
    print("CAREZOO OK", flush=True)  # noqa: T201
    return 0


def _models(folder: str = "", n_bytes: str = "0") -> Iterator[str]:
    """Yield the names of the models on this computer; first see to it that an image will fit into a folder."""
    if folder:
        require_space(Path(folder) / "image.tif", int(n_bytes))
    for choice in hosting.choices():
        yield choice.name


def _info(model: str) -> Iterator[str]:
    """Yield what a model is."""
    yield summary(open_package(resolve(model).path))


def _pull(progress: Progress, cancelled: Cancelled, model: str) -> Iterator[str]:
    """Bring a model to this computer."""

    def show(done: int, total: int, what: str) -> None:
        if cancelled():
            raise Stopped(f"{what}: stopped; the next try goes on from here")
        progress(done, total, what)

    yield f"path={pull(model, progress=show).path}"


def _images(folder: str) -> Iterator[str]:
    """Yield the names of the images in a folder, and ``note=...`` for those whose reader is not installed."""
    found = list_folder(Path(folder))
    yield from (path.name for path in found.require_images())
    if found.unreadable:
        yield f"note=left out: {found.missing_reader()}"


def _restore(
    progress: Progress,
    cancelled: Cancelled,
    source: str,
    folder: str,
    model: str,
    tile: str = AUTO,
    dtype: str = "float32",
    average: str = "1",
) -> Iterator[str]:
    """Restore one TIFF into a folder; yield ``NAME=PATH`` for each result, and ``note=...`` for remarks."""
    package = open_package(resolve(model).path)
    settings = Settings(tile=options.tile(tile), dtype=dtype, average=options.n_frames(average))
    order = Order(models={None: package}, settings=settings, output=Path(folder), is_overwriting=True)
    for outcome in restore_files([Path(source)], order, progress, cancelled):
        if outcome.error is not None:
            raise outcome.error
        names = [result.name for result in package.manifest.results]
        yield from (f"{name}={path}" for name, path in zip(names, outcome.outputs, strict=True))
        yield f"model={package.manifest.reference}"
        for report in outcome.reports:
            yield from (f"note={warning}" for warning in report.warnings)


_WATCHED = {"pull", "restore"}
_VERBS: dict[str, Callable[..., Iterator[str]]] = {
    "models": _models,
    "images": _images,
    "info": _info,
    "pull": _pull,
    "restore": _restore,
}

if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:]))
