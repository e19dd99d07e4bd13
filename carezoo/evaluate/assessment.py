"""Everything that is measured on one restored image, its input and its baselines, against its target."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import MissingExtraError
from carezoo.evaluate import calibration, fourier, segmentation
from carezoo.evaluate.calibration import MeasuredCalibration, Sparsification, sparsification
from carezoo.evaluate.fourier import Correlation, Spectrum
from carezoo.evaluate.frames import ScoredFrame
from carezoo.evaluate.scores import FileScores
from carezoo.evaluate.segmentation import SegmentationScores
from carezoo.metrics import PERCENTILES, AffineFit, fit_units, intensity_errors, score
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import Recalibration
from carezoo.uncertainty.mixture import Mixture, map_distribution

INPUT, RESTORED, TARGET = "input", "restored", "target"
"""Names of images beside those of the baselines."""

BEFORE = " before calibration"
"""Added to the names of the parts of an image whose calibration is that of the scales without their factor."""


@dataclass(frozen=True)
class AssessmentOptions:
    """What is measured, and how."""

    has_own_units: bool = False
    """Whether restored intensities have no known relation to those of the input or the target. The target is then
    fitted to the restored image itself, and there are no errors of gain and offset."""
    calibration_factor: float | None = None
    """By which the scales of the model were multiplied after its training; gives the calibration before that, too."""
    recalibration: Recalibration | None = None
    """Of the model: its intervals after calibration are those that it makes."""
    diameter: float | None = None
    """Of objects, in pixels; None: nothing is segmented."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """Of one image."""

    scores: FileScores
    calibration: Mapping[str, MeasuredCalibration]
    """Of `foreground`, `background` and `all` pixels, and of each `BEFORE` calibration; empty if the model gives no
    scale. CRPS in shares of the target's range."""
    sparsification: Mapping[str, Sparsification]
    """By `scale` and `disagreement`, where there are any. Errors and scales in shares of the target's range."""
    spectra: Mapping[str, Mapping[str, Spectrum]]
    """By image, then axis; all fitted to the target, and in shares of its range."""
    correlations: Mapping[str, Mapping[str, Correlation]]
    """With the target: by image, then direction."""
    segmentation: Mapping[str, SegmentationScores]
    """By image."""


def assess(frame: ScoredFrame, images: Mapping[str, NDArray[Any]], options: AssessmentOptions) -> Assessment:
    """Measure one image.

    Parameters
    ----------
    frame
        Restored.
    images
        Of the shape of the target, by name: `INPUT`, baselines, `RESTORED`.

    Raises
    ------
    InputError
        If the shapes differ, or the target is constant.
    PixelError
        If a pixel is NaN or infinite.
    """
    target, restored = frame.target, images[RESTORED]
    scored = {name: score(image, target, name=f"{name} image") for name, image in images.items()}
    fit = frame.units or fit_units(target, restored if options.has_own_units else images[INPUT])
    expected = _fit_to(target, fit)
    low, high = (float(p) for p in np.percentile(target, PERCENTILES))
    width = abs(fit.gain) * (high - low) or 1.0
    scores = FileScores(
        name=frame.name,
        input=scored[INPUT],
        restored=scored[RESTORED],
        intensities=None if options.has_own_units else intensity_errors(restored, expected),
        baselines={name: one for name, one in scored.items() if name not in {INPUT, RESTORED}},
        file=frame.file,
    )
    # In shares of the target's range, so that images of different exposure can be averaged.
    fitted = {name: _fit_to(image, AffineFit(scored[name].gain, scored[name].offset)) for name, image in images.items()}
    fitted[TARGET] = _fit_to(target, AffineFit(1.0 / (high - low), -low / (high - low)))
    return Assessment(
        scores,
        _calibration(frame, expected, width, options),
        _sparsification(frame, expected, width),
        {name: fourier.spectra(image) for name, image in fitted.items()},
        {name: fourier.correlations(image, target, frame.pixel_size_um) for name, image in images.items()},
        _segmentation(fitted, options.diameter),
    )


def foreground(target: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels are brighter than Otsu's threshold of the target, smoothed by a pixel."""
    try:
        from scipy.ndimage import gaussian_filter
        from skimage.filters import threshold_otsu
    except ImportError as error:
        raise MissingExtraError.of("scikit-image", "evaluate", "to tell foreground from background") from error
    smooth = gaussian_filter(target.astype(np.float32), 1.0)
    return np.asarray(smooth > threshold_otsu(smooth))


def _calibration(
    frame: ScoredFrame, expected: NDArray[Any], width: float, options: AssessmentOptions
) -> dict[str, MeasuredCalibration]:
    if frame.predicted is None:
        return {}
    predicted = {"": (_in_shares(frame.predicted, width, 1.0), options.recalibration)}
    if options.calibration_factor:
        predicted[BEFORE] = (_in_shares(frame.predicted, width, options.calibration_factor), None)
    bright = foreground(frame.target)
    parts = {"foreground": bright, "background": ~bright, "all": np.ones_like(bright)}
    return {
        part + words: calibration.calibration(
            map_distribution(each, operator.itemgetter(mask)),
            expected[mask] / np.float32(width),
            recalibration=recalibration,
        )
        for words, (each, recalibration) in predicted.items()
        for part, mask in parts.items()
        if mask.any()
    }


def _in_shares(predicted: Laplace | Mixture, width: float, factor: float) -> Laplace | Mixture:
    if isinstance(predicted, Mixture):
        members = _in_shares(predicted.members, width, factor)
        assert isinstance(members, Laplace)
        return Mixture(members)
    return Laplace(predicted.mean / np.float32(width), predicted.scale / np.float32(width * factor))


def _sparsification(frame: ScoredFrame, expected: NDArray[Any], width: float) -> dict[str, Sparsification]:
    assert frame.restored is not None
    error = (frame.restored - expected) / width
    found = {}
    if frame.predicted is not None:
        found["scale"] = sparsification(error, frame.predicted.scale / width)
    if frame.disagreement is not None:
        found["disagreement"] = sparsification(error, frame.disagreement)
    return found


def _segmentation(fitted: Mapping[str, NDArray[Any]], diameter: float | None) -> dict[str, SegmentationScores]:
    if diameter is None:
        return {}
    true = segmentation.segment(fitted[TARGET], diameter)
    return {
        name: segmentation.compare(segmentation.segment(image, diameter), true)
        for name, image in fitted.items()
        if name != TARGET
    }


def _fit_to(image: NDArray[Any], fit: AffineFit) -> NDArray[np.float32]:
    return np.asarray(image.astype(np.float32) * np.float32(fit.gain) + np.float32(fit.offset))
