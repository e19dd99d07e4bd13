"""Many files: what will be written where, what is finished already, and what happened to each."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from carezoo import files
from carezoo.errors import AxesError, BugError, CarezooError, InputError, OutOfMemoryError
from carezoo.files.atomic import identify, make_folder, require_folder
from carezoo.files.formats import FORMATS, split_inner
from carezoo.files.listing import real_path
from carezoo.files.scenes import Scene
from carezoo.files.tiff_read import files_of
from carezoo.image import Image
from carezoo.package.read import Package
from carezoo.progress import Progress
from carezoo.runtime.restoration import Report
from carezoo.runtime.restore import check_ranges, open_session, restore
from carezoo.runtime.session import Session
from carezoo.runtime.targets import ChannelTargets, Erasable, MakeTarget, Outline
from carezoo.settings import SETTINGS, Settings

log = logging.getLogger("carezoo")

SUFFIX_OF = {"mean": "restored"}
"""What a result's file name ends in, where that is not the result's own name."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do with every file."""

    models: Mapping[int | None, Package]
    """By channel; the key None stands for the whole image."""
    settings: Settings = field(default_factory=Settings)
    axes: str | None = None
    """Axes of the files; None: as their metadata say."""
    scene: int | str | None = None
    """Name or number of the image in files that hold several, or `carezoo.files.scenes.ALL`; None: the first."""
    crop: Mapping[str, slice] = field(default_factory=dict)
    """Region to restore, by axis letter."""
    output: Path | None = None
    """Where results go: a folder, or for one file the name of its restored image; None: beside each file."""
    is_overwriting: bool = False
    """Replace results that were made differently, or by something else."""

    def levels(self) -> dict[str, Any]:
        """Return at which levels intervals of each channel hold, as plain values; None: as its distribution says."""
        found = {str(channel): package.manifest.recalibration for channel, package in self.models.items()}
        return {channel: each.to_plain() if each else None for channel, each in found.items()}

    def options(self) -> dict[str, Any]:
        """Return what decides the pixels of a result, as plain values: equal options, equal result."""
        return {
            "models": {str(channel): package.sha256 for channel, package in self.models.items()},
            **self.settings.list_deciding(),
            "axes": self.axes,
            "crop": {letter: [bound.start, bound.stop] for letter, bound in self.crop.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to one file, or to one of several images in it."""

    source: Path
    scene: str = ""
    """What the names of the results carry; empty: nothing."""
    status: Literal["restored", "skipped", "failed"]
    outputs: tuple[Path, ...] = ()
    reports: tuple[Report, ...] = ()
    error: CarezooError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        failure = {"type": type(self.error).__name__, "message": str(self.error)} if self.error else None
        return {
            "source": str(self.source),
            **({"scene": self.scene} if self.scene else {}),
            "status": self.status,
            "outputs": [str(path) for path in self.outputs],
            "reports": [report.to_dict() for report in self.reports],
            "error": failure,
        }


def restore_files(
    sources: Sequence[Path],
    job: Job,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    open_network: Callable[[Package, Settings], Session] = open_session,
) -> Iterator[Outcome]:
    """Restore files one after the other; what goes wrong with one, even a bug (`BugError`), does not stop the others.

    Parameters
    ----------
    sources, job
        What to restore, and how.
    progress, cancelled
        Called after each tile with the voxels of the file that are done, those in all, and the name of the file; asked
        between tiles whether to stop.
    open_network
        What loads the network of a package, once for all files.

    Yields
    ------
    Outcome
        As soon as a file is done, in the order of `sources`.

    Raises
    ------
    InputError
        Before any work: if two files would write the same result, a result would replace its source, or results cannot
        go where they should.
    """
    if job.output is not None:
        _check_output(job.output, len(sources))
    for conflict in conflicts(sources, job).values():
        raise conflict
    sessions = {key: open_network(package, job.settings) for key, package in job.models.items()}
    for source in sources:
        try:
            scenes = _scenes(source, job)
        except Exception as error:
            yield _failure(source, error)
            continue
        for scene in scenes:
            try:
                yield _restore_file(source, scene, job, sessions, progress, cancelled)
            except Exception as error:
                yield _failure(source, error, scene)


def _failure(source: Path, error: Exception, scene: Scene | None = None) -> Outcome:
    """Return the outcome of an image that could not be restored: whatever went wrong stops no other image."""
    told: CarezooError
    if isinstance(error, CarezooError):
        told = error
    elif isinstance(error, OSError):
        told = InputError(f"{source}: {error}")
    elif isinstance(error, MemoryError):
        told = OutOfMemoryError(f"{source}: {error or 'out of memory'}")
    else:
        told = BugError.of(error, source)
    return Outcome(source=source, scene=scene.label if scene else "", status="failed", error=told)


def _scenes(source: Path, job: Job) -> Sequence[Scene | None]:
    """Return the images of a file to restore; None stands for the first, without a name of its own.

    Raises
    ------
    InputError
        If the file lacks what was asked for, or several images of it would be written to one file.
    """
    asked = split_inner(source)[1] or job.scene
    if asked is None:
        return (None,)
    found = files.choose_scenes(source, asked)
    if len(found) > 1 and job.output is not None and _is_file_name(job.output):
        raise InputError(f"{job.output} is the name of one image, and {source} holds {len(found)}; name a folder")
    return found


def _check_output(output: Path, n_sources: int) -> None:
    kind = mimetypes.guess_type(output.name)[0] or ""
    is_other = output.suffix.lower() in FORMATS or kind.startswith(("image/", "video/"))
    if is_other and not _is_file_name(output) and not output.is_dir():
        raise InputError(
            f"{output} cannot be written: results are TIFF. Give a name in .tif or .ome.tif, or a folder for results"
        )
    if not _is_file_name(output):
        require_folder(output)
    elif n_sources > 1:
        raise InputError(f"{output} is the name of one image, and there are {n_sources} to restore; name a folder")
    else:
        require_folder(output.parent)


def result_path(source: Path, name: str, output: Path | None, scene: str = "") -> Path:
    """Return where the result `name` of a file goes.

    In a folder (None: that of the file) ``cell.tif`` gives ``cell_restored.tif`` and ``cell_scale.tif``, and its
    `scene` of label ``pos1`` gives ``cell_pos1_restored.tif`` (`carezoo.files.choose_scenes`). An `output`
    that ends in .tif or .tiff, unless it is a folder, is the restored image itself: ``out.tif`` beside
    ``out_scale.tif``.
    """
    if output is not None and _is_file_name(output):
        return output if name == "mean" else _name_output(output, name)
    path = _name_output(split_inner(source)[0], "_".join(filter(None, (scene, SUFFIX_OF.get(name, name)))))
    return path if output is None else output / path.name


def _is_file_name(output: Path) -> bool:
    return output.suffix.lower() in {".tif", ".tiff"} and not output.is_dir()


def _name_output(path: Path, ending: str) -> Path:
    """Return the TIFF beside `path` whose name ends in `ending`; OME-TIFF if `path` is."""
    for suffix in (".companion.ome", ".ome.tiff", ".ome.tif", ".ome"):
        if path.name.lower().endswith(suffix):
            return path.with_name(f"{path.name[: -len(suffix)]}_{ending}.ome.tif")
    return path.with_name(f"{path.stem}_{ending}.tif")


def conflicts(sources: Sequence[Path], job: Job) -> dict[Path, InputError]:
    """Return why files cannot be restored together with the others, by file; the rest of them can.

    A file conflicts if an earlier one is written to the same result, or if it is itself the result of another.
    """
    taken: dict[Path, Path] = {}
    given = {real_path(source): source for source in sources}
    found: dict[Path, InputError] = {}
    for source in sources:
        for path in _list_results(source, job):
            if path in taken:
                found[source] = InputError(
                    f"{taken[path]} and {source} would both be written to {path}; restore them into different folders"
                )
            elif path in given:
                found[given[path]] = InputError(
                    f"{path} is both an input and the result of {source}; leave results out of the input"
                )
            taken.setdefault(path, source)
    return found


def _list_results(source: Path, job: Job) -> list[Path]:
    """Return what a file becomes, each scene of it; nothing if the file cannot be opened: it fails in its turn."""
    try:
        scenes = _scenes(source, job)
    except Exception:  # whatever a damaged file makes its reader raise
        return []
    labels = [scene.label if scene else "" for scene in scenes]
    return [real_path(result_path(source, name, job.output, label)) for label in labels for name in _result_names(job)]


def _result_names(job: Job) -> list[str]:
    """Return the results that every model gives."""
    given = [[result.name for result in package.manifest.results] for package in job.models.values()]
    return [name for name in given[0] if all(name in names for names in given)]


def _restore_file(
    source: Path,
    scene: Scene | None,
    job: Job,
    sessions: Mapping[int | None, Session],
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> Outcome:
    image = files.open_image(source, job.axes, scene=scene.number if scene else None)
    image = image.crop(job.crop) if job.crop else image
    label = scene.label if scene else ""
    outputs = tuple(result_path(source, name, job.output, label) for name in _result_names(job))
    options = {**job.options(), "scene": label or None}
    file, _ = split_inner(source)
    identity = {"input": {"name": file.name, **identify(files_of(file))}, "options": options}
    if not job.is_overwriting and _is_finished(outputs, identity):
        return Outcome(source=source, scene=label, status="skipped", outputs=outputs)

    @contextmanager
    def make_target(outline: Outline) -> Iterator[Erasable]:
        path = result_path(source, outline.name, job.output, label)
        make_folder(path.parent)
        notes = {"carezoo": {"result": outline.name, **identity, "run": outline.provenance.to_dict()}}
        if outline.name == "scale":  # intervals are drawn from this file, where its model may be gone
            notes["carezoo"]["levels"] = job.levels()
        with files.create_image(
            path,
            shape=outline.shape,
            axes=outline.axes,
            dtype=outline.dtype,
            like=_like(outline),
            pixel_size_um=outline.pixel_size_um,
            notes=notes,
        ) as target:
            yield target

    reports = _restore_image(image, job, sessions, make_target, progress, cancelled)
    return Outcome(source=source, scene=label, status="restored", outputs=outputs, reports=reports)


def _like(outline: Outline) -> Image:
    """Return the image whose metadata the result keeps; a width is not displayed in the range of a value."""
    if outline.name == "mean":
        return outline.source
    return replace(outline.source, metadata=replace(outline.source.metadata, display_ranges=()))


def _restore_image(
    image: Image,
    job: Job,
    sessions: Mapping[int | None, Session],
    make_target: Callable[[Outline], AbstractContextManager[Erasable]],
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> tuple[Report, ...]:
    def run(part: Image, key: int | None, make_target: MakeTarget) -> Report:
        package, session = job.models[key], sessions[key]
        return restore(
            part,
            package,
            job.settings if key is None else job.settings.of_channel(key),
            session=session,
            make_target=make_target,
            progress=progress,
            cancelled=cancelled,
        ).report

    check_ranges(image, job.settings)
    if None in sessions:
        return (run(image, None, make_target),)
    if "C" not in image.axes and set(sessions) == {0}:
        return (run(image, 0, make_target),)
    channels = _channels(image, job)
    with ChannelTargets(len(channels), _result_names(job), make_target) as targets:
        return tuple(run(image.crop({"C": slice(c, c + 1)}), c, targets.make_for(c)) for c in channels)


def _channels(image: Image, job: Job) -> list[int]:
    n_channels = image.sizes.get("C", 1)
    named = sorted(channel for channel in job.models if channel is not None)
    if named != list(range(n_channels)):
        has = f"channels 0 to {n_channels - 1}" if n_channels > 1 else "one channel, number 0"
        raise AxesError(
            f"{image.name} has {has} (axes {image.axes}), but models were given for {', '.join(map(str, named))}. "
            "Give a model for each of its channels (0=NAME 1=NAME ...), or one model without a number for all"
        )
    return named


def _is_finished(outputs: Sequence[Path], identity: Mapping[str, Any]) -> bool:
    """Return whether all results are there and were made from the same pixels in the same way.

    A file of that name that was made otherwise is an `InputError`.
    """
    found = [path for path in outputs if path.exists()]
    for path in found:
        notes = (files.read_notes(path) or {}).get("carezoo", {})
        why = ", ".join(_list_differences(notes, identity)) if notes else "not by carezoo"
        if why:
            raise InputError(
                f"{path} exists and was made {why}; choose another folder (-o), or replace it (--overwrite)"
            )
    return len(found) == len(outputs)


def _list_differences(notes: Mapping[str, Any], identity: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what a result with these notes was made of, or how, where it would now be made otherwise."""
    if notes.get("input") != identity["input"]:
        yield (
            "from another image"
            if (notes.get("input") or {}).get("name") != identity["input"]["name"]
            else ("before the image changed")
        )
    old, new = _fill_in(notes.get("options") or {}), _fill_in(identity["options"])
    for key in [key for key in {**old, **new} if old.get(key) != new.get(key)]:
        if key == "models":
            run = notes.get("run") or {}
            yield f"with another model ({run.get('model')} {run.get('version')})"
        else:
            yield f"with --{_FLAG_OF.get(key, key)} {_to_word(old.get(key))} instead of {_to_word(new.get(key))}"


_FLAG_OF = {row.key: row.flag for row in SETTINGS}


def _fill_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the default of every setting that is missing: the file is older than the setting."""
    return {**Settings().list_deciding(), **options}


def _to_word(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_to_word(each)}" for key, each in value.items()) or "none"
    return ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
