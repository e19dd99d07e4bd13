"""What people and bridges call: load a model, restore images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from carezoo import files
from carezoo.errors import AxesError, InputError, MissingExtraError
from carezoo.files.listing import images_in
from carezoo.image import Image, Pixels
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package, open_package
from carezoo.progress import Progress
from carezoo.registry.resolve import resolve
from carezoo.registry.zoo import Locations
from carezoo.runtime.batch import Job, restore_files, result_path
from carezoo.runtime.restoration import Report, Restoration
from carezoo.runtime.restore import open_session
from carezoo.runtime.restore import restore as _restore
from carezoo.runtime.session import Session
from carezoo.settings import Options, Settings, choose

log = logging.getLogger("carezoo")

if TYPE_CHECKING:
    from carezoo.evaluate.estimated import EstimatedScores
    from carezoo.evaluate.findings import Findings


def load(reference: str | PathLike[str], *, zoos: Locations | None = None) -> Model:
    """Load a model.

    Parameters
    ----------
    reference
        ``NAME`` of a model, which means its newest version, or ``NAME@VERSION``; the path of a package: a folder or zip
        in the bioimage.io format with ONNX weights; or ``bioimage.io/ID``. What is not on this machine is pulled.
    zoos
        Addresses or folders of zoos to ask first; None takes those of the environment variable CAREZOO_ZOO. Without
        any, no network is used for a name.

    Raises
    ------
    UnknownModelError
        If there is no model of that name.
    DownloadError
        If it had to be pulled and did not arrive.
    PackageError
        If the package is damaged, or cannot be run.

    Examples
    --------
    >>> import carezoo
    >>> model = carezoo.load("denoise-bpae-2d")
    >>> restored = model.restore("cell.tif").mean  # doctest: +SKIP
    """
    return Model(open_package(resolve(str(reference), zoos).path))


@dataclass(frozen=True)
class Model:
    """A package ready to run. The network is loaded at the first restoration and kept."""

    package: Package
    _sessions: dict[tuple[Any, ...], Session] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<Model {self.manifest.reference} from {self.package.path}>"

    @property
    def manifest(self) -> Manifest:
        """What the package says of itself."""
        return self.package.manifest

    def restore(
        self,
        image: NDArray[np.generic] | Pixels | Image | str | PathLike[str],
        axes: str | None = None,
        *,
        scene: int | str | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        **options: Unpack[Options],
    ) -> Restoration:
        """Restore an image.

        Parameters
        ----------
        image
            NumPy array, anything that is indexed like one (Dask, Zarr, h5py), a torch tensor, an xarray.DataArray (its
            dimensions give the axes, its coordinates the pixel size), an `Image`, or the path of a file.
        axes
            Letters over STCZYX in array order. Needed for arrays unless their axes are those of the model or their
            dimensions are named; for files their metadata decide unless given.
        scene
            Name or number (from 0) of the image in a file that holds several; None: the first.
        settings
            How to run, also as a dictionary; or give its fields as keywords (`tile`, `provider`, `precision`,
            `n_threads`, `dtype`, ...).
        progress
            Called after each tile with voxels done, voxels in all and the name of the image.
        cancelled
            Asked between tiles; True stops with `Cancelled`.

        Returns
        -------
        Restoration
            `mean` is the restored image, float32 in the intensity units of the input and with its axes; `scale` and
            `disagreement` where the model has them; `report` says what really ran. Its warnings are logged, too (logger
            ``carezoo``), which shows them on stderr unless the program does something else with logs.

        Raises
        ------
        InputError, AxesError, PixelError, FileFormatError
            If the image cannot be taken, or does not fit.

        Examples
        --------
        >>> import numpy as np, carezoo
        >>> noisy = np.random.default_rng(0).poisson(20, (64, 64))
        >>> carezoo.load("denoise-bpae-2d").restore(noisy, "YX").mean.shape
        (64, 64)
        """
        settings = choose(settings, options)
        source = self._open(image, axes, scene)
        found = _restore(
            source, self.package, settings, session=self._session(settings), progress=progress, cancelled=cancelled
        )
        _log_warnings(found.report)
        return found

    def restore_file(
        self,
        path: str | PathLike[str],
        output: str | PathLike[str] | None = None,
        *,
        axes: str | None = None,
        scene: int | str | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        is_overwriting: bool = False,
        **options: Unpack[Options],
    ) -> Path:
        """Restore an image file into a file, as the command line does; of any size, and not twice.

        Parameters
        ----------
        path
            The image.
        output
            Folder for the results, made if need be, or the name of the restored image, ending in .tif; None: beside the
            image.
        axes
            Of the file; None: as its metadata say.
        scene
            Name or number (from 0) of the image in a file that holds several, or ``"all"``; None: the first.
        settings
            How to run; or give its fields as keywords.
        is_overwriting
            Replace results of that name that were made differently, or by something else.

        Returns
        -------
        Path
            The restored image, by default ``cell_restored.tif`` for ``cell.tif``, or ``cell_SCENE_restored.tif`` where
            a scene was chosen among several; of all scenes the last. Scale and disagreement lie beside it.

        Raises
        ------
        InputError
            If the image cannot be read or does not fit, or a result would replace another file.

        Examples
        --------
        >>> carezoo.load("denoise-bpae-2d").restore_file("cell.tif", "restored")  # doctest: +SKIP
        PosixPath('restored/cell_restored.tif')
        """
        job = Job(
            models={None: self.package},
            settings=choose(settings, options),
            axes=axes,
            scene=scene,
            output=None if output is None else Path(output),
            is_overwriting=is_overwriting,
        )
        source = Path(path)
        restored = result_path(source, "mean", job.output)
        for outcome in restore_files([source], job, open_network=lambda _, chosen: self._session(chosen)):
            if outcome.error is not None:
                raise outcome.error
            for each in outcome.reports:
                _log_warnings(each)
            restored = result_path(source, "mean", job.output, outcome.scene)
        return restored

    def evaluate(
        self,
        source: str | PathLike[str] | Mapping[str, str | PathLike[str]],
        target: str | PathLike[str] | Mapping[str, str | PathLike[str]],
        report: str | PathLike[str] | None = None,
        *,
        axes: str | None = None,
        scene: int | str | None = None,
        is_overwriting: bool = False,
        progress: Progress | None = None,
        **wanted: Any,
    ) -> Findings:
        """Restore images of which clean ones are known, and score them beside classical methods at their best.

        Parameters
        ----------
        source
            Folder of degraded images, or one image; several conditions by name.
        target
            Folder of clean images with the same file names, or one image; one for all conditions, or one for each.
        report
            Folder for the report (index.html, scores.json, scores.csv); None writes nothing.
        axes
            Of the source files; None: from their metadata.
        scene
            Name or number (from 0) of the image in files that hold several, or ``"all"``, a pair for each; None: the
            first.
        is_overwriting
            Whether a report that is there already is replaced.
        progress
            Called with the steps done, the steps in all, and the last step in words.
        **wanted
            Fields of `carezoo.evaluate.evaluation.EvaluationSettings`: `baselines`, `psf`, `diameter`, `most_frames`,
            `settings`. Where `settings` average frames, the input and what baselines get are those means, too.

        Raises
        ------
        InputError
            If images are missing or do not fit each other or the model, or there is a report already.
        MissingExtraError
            If the extra `evaluate` is not installed.

        Examples
        --------
        >>> found = carezoo.load("denoise-bpae-2d").evaluate("low", "high", "report")  # doctest: +SKIP
        >>> found.overall.scores.psnr_gain_db  # doctest: +SKIP
        """
        try:
            from carezoo.evaluate.evaluation import EvaluationSettings, evaluate
            from carezoo.evaluate.pairs import conditions, find_pairs, list_training_files
            from carezoo.evaluate.report.files import check_folder, write_evaluation
        except ModuleNotFoundError as error:  # SciPy, on which much of the data layer rests
            raise MissingExtraError.of(str(error.name), "evaluate", "to evaluate a model") from error

        folder = None if report is None else Path(report)
        if folder is not None:
            check_folder(folder, is_overwriting=is_overwriting)
        wanted["settings"] = settings = choose(wanted.get("settings"), {})
        pairs = find_pairs(conditions(source, target), self.manifest, axes, settings, scene)
        for name, part in list_training_files(self.package, pairs).items():
            log.warning("%s trained this model (part %s): scores on it say nothing about other images", name, part)
        found = evaluate(self.package, pairs, EvaluationSettings(**wanted), progress)
        if folder is not None:
            write_evaluation(found, self.manifest, pairs, folder)
        return found

    def estimate_scores(
        self,
        images: str | PathLike[str],
        report: str | PathLike[str] | None = None,
        *,
        axes: str | None = None,
        scene: int | str | None = None,
        is_overwriting: bool = False,
        progress: Progress | None = None,
        **wanted: Any,
    ) -> EstimatedScores:
        """Restore noisy images of which no clean ones are known, and estimate the errors beside those of filters.

        Parameters
        ----------
        images
            Folder of images of one detector, or one image: raw grey levels.
        report
            Folder for the report (index.html, scores.json); None writes nothing.
        axes
            Of the files; None: from their metadata.
        scene
            Name or number (from 0) of the image in files that hold several; None: the first.
        is_overwriting
            Whether a report that is there already is replaced.
        progress
            Called with the steps done, the steps in all, and the last step in words.
        **wanted
            Further parameters of `carezoo.evaluate.estimated.estimate_scores`: `noise`, `filters`, `most_frames`,
            `settings`.

        Raises
        ------
        InputError
            If there is no image, one does not fit the model, or there is a report already.
        DataError
            If the noise cannot be measured, or is not independent from pixel to pixel.
        MissingExtraError
            If the extra `evaluate` is not installed.

        Examples
        --------
        >>> found = carezoo.load("denoise-bpae-2d").estimate_scores("noisy", "report")  # doctest: +SKIP
        >>> found.verdict  # doctest: +SKIP
        """
        try:
            from carezoo.evaluate.estimated import estimate_scores
            from carezoo.evaluate.report.files import check_folder, write_estimated
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(str(error.name), "evaluate", "to evaluate a model") from error

        folder = None if report is None else Path(report)
        if folder is not None:
            check_folder(folder, is_overwriting=is_overwriting)
        opened = [files.open_image(path, axes, scene=scene) for path in images_in(Path(images))]
        found = estimate_scores(self.package, opened, progress=progress, **wanted)
        if folder is not None:
            write_estimated(found, self.manifest, folder)
        return found

    def adapt(
        self,
        images: str | PathLike[str],
        out: str | PathLike[str],
        *,
        minutes: float = 2.0,
        progress: Progress | None = None,
    ) -> Model:
        """Train the model a little further on noisy images, without clean ones, and pack it if it became better.

        Parameters
        ----------
        images
            A folder of noisy images of one detector with one setting, or one such image: raw grey levels.
        out
            Folder of the training; the package is made in it.
        minutes
            That the training takes at most, all members of an ensemble together.
        progress
            Called after each training step with steps done, steps in all, and the state in words.

        Returns
        -------
        Model
            The new version, which names this one as its parent.

        Raises
        ------
        TrainError
            DataError, if the images cannot be used; RecipeError, if the model cannot be trained further; NoGainError,
            if it does not become better for these images.
        MissingExtraError
            If the extra `train` is not installed.

        Examples
        --------
        >>> mine = carezoo.load("denoise-fluorescence-2d").adapt("noisy", "runs/adapted")  # doctest: +SKIP
        """
        try:
            from carezoo.train.adapt import adapt
        except ModuleNotFoundError as error:  # SciPy, on which much of the data layer rests
            raise MissingExtraError.of(str(error.name), "train", "to adapt a model") from error

        package = adapt(self.package.path, Path(images), Path(out), minutes=minutes, progress=progress)
        return Model(open_package(package))

    def _open(self, image: Any, axes: str | None, scene: int | str | None) -> Image:
        if isinstance(image, str | PathLike):
            return files.open_image(Path(image), axes, scene=scene)
        if scene is not None:
            raise InputError(f"scene {scene!r} names an image of a file; expected the path of one, found pixels")
        return files.to_image(image, axes, self._guess)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or another process gets: the package, by its path; sessions are opened anew there."""
        return {**self.__dict__, "_sessions": {}}

    def _guess(self, pixels: Pixels) -> str:
        """Return the model's own axes for an array that has as many dimensions."""
        spatial = self.manifest.spatial_axes
        n_channels = len(self.manifest.input.channels)
        expected = spatial if n_channels == 1 else "C" + spatial
        if len(pixels.shape) != len(expected):
            raise AxesError(
                f"the array has {len(pixels.shape)} dimensions {tuple(pixels.shape)}, model {self.manifest.id} works "
                f"on {expected}: say what the dimensions are, for example axes={'T' + expected!r}"
            )
        return expected

    def _session(self, settings: Settings) -> Session:
        key = (settings.provider, settings.precision, settings.n_threads)
        if key not in self._sessions:
            self._sessions[key] = open_session(self.package, settings)
        return self._sessions[key]


def _log_warnings(report: Report) -> None:
    for warning in report.warnings:
        log.warning("%s", warning)
