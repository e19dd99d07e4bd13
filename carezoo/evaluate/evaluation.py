"""The conductor: a package and pairs of files in, findings out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.evaluate import assessment, baselines, findings, frames
from carezoo.evaluate.assessment import INPUT, RESTORED, Assessment, AssessmentOptions
from carezoo.evaluate.baselines import Baseline, Change
from carezoo.evaluate.findings import Findings
from carezoo.evaluate.frames import ScoredFrame
from carezoo.evaluate.report import panels
from carezoo.evaluate.report.panels import Example
from carezoo.metrics import PERCENTILES
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.pairs.find import ImageKey, Pair
from carezoo.pairs.intensity import Relation
from carezoo.progress import Progress
from carezoo.settings import Settings

log = logging.getLogger("carezoo")


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationSettings:
    """What is to be found out."""

    baselines: tuple[str, ...] | None = None
    """Names out of `carezoo.evaluate.baselines.METHODS`; None: all that fit but BM3D."""
    psf: NDArray[Any] | None = None
    """Point spread function for Richardson-Lucy, YX or ZYX."""
    diameter: float | None = None
    """Of objects to segment, in pixels; None: nothing is segmented."""
    most_frames: int = 10
    """Frames (time points, samples, and planes for 2D models) that are scored of each file, spread evenly."""
    largest: Mapping[str, int] = field(default_factory=dict)
    """Pixels by axis letter: of larger images the middle is scored. They are restored whole."""
    settings: Settings | None = None
    """How to restore. Sources are means already where it says `average`, as those `find_pairs` returns for it."""
    relations: Mapping[ImageKey, Relation] = field(default_factory=dict)
    """How targets and restored images are related, by image of the source, where that is known. Elsewhere targets are
    fitted to the input, or to the restored image if its units are its own."""


def evaluate(
    package: Package, pairs: Sequence[Pair], wanted: EvaluationSettings | None = None, progress: Progress | None = None
) -> Findings:
    """Restore the sources of pairs, and compare them, their inputs and baselines with the targets.

    `dataset` is the condition of a pair.

    Raises
    ------
    InputError
        If there are no pairs, none can be scored, or a baseline does not fit the task.
    CarezooError
        If an image cannot be restored.
    """
    if not pairs:
        raise InputError("an evaluation needs at least one pair of images; found none")
    work = _EvaluationWork(package, pairs, wanted or EvaluationSettings(), progress)
    work.tune()
    work.restore_and_assess()
    return work.findings()


class _EvaluationWork:
    """One evaluation under way."""

    def __init__(
        self, package: Package, pairs: Sequence[Pair], wanted: EvaluationSettings, progress: Progress | None
    ) -> None:
        self.manifest, self.package, self.pairs, self.wanted = package.manifest, package, pairs, wanted
        self.started = time.perf_counter()
        self.given = frames.gather_given(self.manifest, wanted.psf)
        self.average = wanted.settings.average if wanted.settings else 1
        self.change = _change(self.manifest)
        self.methods = baselines.choose(wanted.baselines, self.change, self.given)
        self.groups = frames.groups_of(pairs, self.manifest)
        self.tuned: dict[str, dict[str, Baseline]] = {}
        self.assessed: dict[str, list[Assessment]] = {group: [] for group in self.groups}
        self.drawn: dict[str, list[Example]] = {group: [] for group in self.groups}
        self.skipped: list[tuple[str, str]] = []
        self.provenance: Mapping[str, Any] = {}
        calibration = self.manifest.carezoo.calibration
        self.options = AssessmentOptions(
            frames.has_own_units(self.manifest) and not wanted.relations,
            calibration.factor if calibration else None,
            self.manifest.recalibration,
            wanted.diameter,
        )
        self._progress, self._n_done = progress, 0
        self._n_steps = len(self.groups) * len(self.methods) + 2 * len(pairs)

    def tune(self) -> None:
        """Find the best parameters of each baseline in each condition."""
        for group in self.groups:
            examples = self._examples(group)
            self.tuned[group] = {}
            for method in self.methods:
                if examples:
                    self.tuned[group][method.name] = baselines.tune(method, examples, self.given)
                self._step(f"tuned {method.title}, {group}")

    def restore_and_assess(self) -> None:
        """Go over the files."""
        restore = frames.open_restorer(self.package, self.wanted.settings)
        for pair in self.pairs:
            try:
                restoration = restore(pair)
                self.provenance = {**restoration.report.provenance.to_dict(), "average": self.average}
                self._step(f"restored {pair.name}")
                relation = self.wanted.relations.get(pair.source_key)
                for frame in frames.frames(pair, self.manifest, self.wanted.most_frames, restoration, relation):
                    self._assess(frame.crop_middle(self.wanted.largest))
            except InputError as error:
                self._skip(pair.name, error)
            self._step(f"scored {pair.name}")

    def _skip(self, name: str, error: InputError) -> None:
        log.warning("%s is left out: %s", name, error)
        self.skipped.append((name, str(error)))

    def _assess(self, frame: ScoredFrame) -> None:
        assert frame.restored is not None
        try:
            if frame.source.min() == frame.source.max():
                raise InputError(f"its source is blank: every pixel is {frame.source.min():g}; leave this image out")
            images = {INPUT: baselines.prepare_input(frame.source, frame.target.shape, self.given)}
            images |= {name: method(frame.source) for name, method in self.tuned[frame.group].items()}
            images[RESTORED] = frame.restored
            found = assessment.assess(frame, images, self.options)
        except InputError as error:
            self._skip(frame.name, error)
            return
        if found.scores.restored.gain <= 0:
            log.warning("%s: the restored image is unrelated to its target, or inverted", frame.name)
        self.assessed[frame.group].append(found)
        self.drawn[frame.group].append(panels.example(frame, images, found))

    def findings(self) -> Findings:
        """Put everything together."""
        whole = [one for each in self.assessed.values() for one in each]
        if not whole:
            name, reason = self.skipped[0]
            raise InputError(f"none of {len(self.skipped)} image(s) could be scored; the first, {name}: {reason}")
        parameters = {
            group: {name: one.parameters for name, one in tuned.items()} for group, tuned in self.tuned.items()
        }
        groups = [findings.pool(name, each, parameters[name]) for name, each in self.assessed.items() if each]
        examples = [(why, one) for drawn in self.drawn.values() if drawn for why, one in panels.choose_examples(drawn)]
        return Findings(
            model=self.manifest.reference,
            task=self.manifest.carezoo.task or "restoration",
            provenance=self.provenance,
            titles={
                INPUT: baselines.INPUT_TITLES[self.change],
                **{method.name: method.title for method in self.methods},
                RESTORED: "Restored",
            },
            groups=tuple(groups),
            overall=findings.pool("all", whole, {}) if len(groups) > 1 else groups[0],
            skipped=tuple(self.skipped),
            largest=self.wanted.largest,
            n_files_with_more=sum(_n_frames(p, self.manifest) > self.wanted.most_frames for p in self.pairs),
            has_own_units=self.options.has_own_units,
            calibration_factor=self.options.calibration_factor,
            diameter=self.wanted.diameter,
            examples=tuple(examples),
            seconds=time.perf_counter() - self.started,
        )

    def _examples(self, group: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Return source and target of up to three frames of a condition that can be scored, of as many files."""
        found: list[tuple[NDArray[Any], NDArray[Any]]] = []
        most = max(1, -(-baselines.N_EXAMPLES // len(self.pairs)))
        for pair in self.pairs:
            for frame in frames.frames(pair, self.manifest, most):
                is_blank = frame.source.min() == frame.source.max()
                if frame.group == group and not is_blank and np.ptp(np.percentile(frame.target, PERCENTILES)):
                    found.append((frame.source, frame.target))
            if len(found) >= baselines.N_EXAMPLES:
                break
        return found

    def _step(self, words: str) -> None:
        self._n_done += 1
        if self._progress:
            self._progress(self._n_done, self._n_steps, words)


def _change(manifest: Manifest) -> Change:
    """Return what the model does to shapes."""
    if manifest.loses("Z"):
        return "projection"
    return "none" if manifest.factor("Z") == 1 else "planes"


def _n_frames(pair: Pair, manifest: Manifest) -> int:
    sizes = pair.source.sizes
    return int(np.prod([n for letter, n in sizes.items() if letter in "STZ" and letter not in manifest.spatial_axes]))
