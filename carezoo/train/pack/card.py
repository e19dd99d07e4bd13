"""The model card: what the model does, how good it is, what it was made from, how to use it, where it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from carezoo.evaluate import scores
from carezoo.evaluate.assessment import RESTORED
from carezoo.evaluate.estimated import COLUMNS, EstimatedScores, describe_removed, rows
from carezoo.evaluate.findings import Findings, Group
from carezoo.evaluate.report import page
from carezoo.package import consistency
from carezoo.package.draft import Constants, Draft
from carezoo.package.manifest import Architecture
from carezoo.pairs.section import FRAMES, THINNED
from carezoo.train.pack.estimates import Estimates
from carezoo.train.pack.sample import SampleImage
from carezoo.train.recipe import Recipe

_INTENSITIES = {
    "matched": (
        "Restored values are in the intensity units of the input: in training, targets were mapped into the units of "
        "their sources by a fit that allows for noise in both."
    ),
    "own": (
        "Source and target were normalized each by its own percentiles, as CSBDeep does. **The gain of restored images "
        "is therefore arbitrary: do not compare their intensities with those of the input.**"
    ),
    "fixed": (
        "Intensities are normalized by two constants of the training images, and restored values are in the units of "
        "the input. Use the model on images taken with the same exposure, gain and offset."
    ),
}

_TARGETS = {
    THINNED: (
        "trained on the noisy images themselves: their photoelectrons were dealt out to a source and a target, anew in "
        "every step. Restored images of the files to fit are images of the training set."
    ),
    FRAMES: (
        "trained on pairs of noisy frames of one scene. Restored images of the files to fit are images of the training "
        "set."
    ),
}

_VALUES = {
    "mean": "restored intensity",
    "scale": "Laplace scale b of the restored intensity, in its units (standard deviation = sqrt(2) b)",
    "disagreement": "disagreement of the members, 0 to 1",
}


def readme(recipe: Recipe, draft: Draft, evaluation: Findings | Estimates | None, sample: SampleImage) -> str:
    """Return the card as Markdown; `evaluation` is None where no file could be scored, `sample` is on the cover."""
    parts = [
        opening(draft, sample),
        what_it_does(draft),
        _scores(recipe, draft, evaluation),
        _training(recipe, draft),
        use(draft),
        limits(draft),
        citations(draft),
    ]
    return join_lines(parts)


def join_lines(parts: Iterable[Iterable[str]]) -> str:
    """Return the lines of all parts as one text, an empty line between parts."""
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def opening(draft: Draft, sample: SampleImage) -> Iterator[str]:
    """Name, what it is for, and the cover."""
    yield f"# {draft.name} {draft.version}\n"
    yield draft.description
    yield ""
    yield "![The same field before and after restoration](cover.png)\n"
    source = " ".join(filter(None, (sample.origin, f"({sample.license})" if sample.license else "")))
    yield f"Image: {sample.image.name}" + (f", {source}" if source else "")


def what_it_does(draft: Draft) -> Iterator[str]:
    """What goes in, what comes out, in which units."""
    yield "## What it does\n"
    channels = ", ".join(draft.input_channels)
    yield f"- Takes images with axes {draft.axes}; channels: {channels}. Further axes are looped over."
    for meaning in draft.output_channels:
        yield f"- Gives `{meaning.name}`: {_VALUES[meaning.kind]}."
    how = draft.normalization
    yield f"- {_INTENSITIES['fixed' if isinstance(how, Constants) else how.mode]}"
    if draft.pixel_size_um:
        shown = ", ".join(f"{letter} {size:g}" for letter, size in draft.pixel_size_um.items())
        yield f"- Made for a pixel size of {shown} µm."


def _scores(recipe: Recipe, draft: Draft, evaluation: Findings | Estimates | None) -> Iterator[str]:
    if isinstance(evaluation, Estimates):
        return _estimates(evaluation.model, evaluation.parent)
    return _estimates(None, None) if recipe.data.is_noisy else _validation(draft, evaluation)


def _estimates(found: EstimatedScores | None, parent: EstimatedScores | None) -> Iterator[str]:
    yield "## Errors, estimated from noisy images\n"
    yield "There was no clean image to score the model against."
    if found is None:
        yield "The images to report on are too few or too small to estimate errors from their noise."
    else:
        yield (
            f"Errors were estimated {found.how}, on images that neither trained the model nor chose its checkpoint. "
            "Filters were tuned by the same estimate. Do not compare these numbers with a PSNR against clean images."
        )
        yield ""
        yield found.verdict
        if parent is not None:
            yield f"{parent.model}, from which the training started, takes {_describe_restored(parent)} away."
        yield ""
        yield f"| | {' | '.join(COLUMNS)} |"
        yield "| --- " * (len(COLUMNS) + 1) + "|"
        for name, cells, is_model in rows(found):
            yield "| " + " | ".join(f"**{cell}**" if is_model else cell for cell in (name, *cells)) + " |"
    yield ""
    yield (
        "Scales were calibrated on noisy images that were kept for that, with their known noise taken out. Intervals "
        "have the levels of a Laplace distribution: true values, by which to measure others, were not known."
    )


def _describe_restored(found: EstimatedScores) -> str:
    return describe_removed(found.methods[RESTORED])


def _validation(draft: Draft, findings: Findings | None) -> Iterator[str]:
    yield "## Validation\n"
    if findings is None:
        yield "None: no file that neither trained the model nor chose its checkpoint could be scored."
        return
    yield (
        "Scores on files that neither trained the model nor chose its checkpoint. The data were split by file, never "
        "by patch (of fewer than three, movies are cut along time and images into strips); the package itself was "
        "run, as a user runs it."
    )
    if findings.largest:
        sizes = " x ".join(str(size) for size in findings.largest.values())
        yield f"Of images larger than {sizes} pixels ({''.join(findings.largest)}) the middle was scored."
    yield ""
    yield page.headline(findings)
    for group in findings.all_groups:
        yield ""
        yield from _methods(findings, group)
    if findings.overall.scores.baselines:
        yield ""
        yield (
            "Baselines are at their best: their parameters (in brackets) gave the lowest NRMSE against the targets "
            "themselves, on crops of up to three of these images. A user has no targets and will do worse."
        )
    if findings.overall.calibration:
        yield ""
        yield from _intervals(draft, findings)
    yield ""
    yield "### Image by image\n"
    yield scores.to_markdown_table(findings.overall.scores).rstrip()
    if findings.has_own_units:
        yield ""
        yield "Restored intensities have units of their own: gain and offset errors are not judged."


def _methods(findings: Findings, group: Group) -> Iterator[str]:
    if len(findings.groups) > 1:
        yield f"### {group.name if group is not findings.overall else 'All conditions together'}\n"
    yield f"| mean over {group.n_files} file(s) | " + " | ".join(words for _, words, _ in page.COLUMNS) + " |"
    yield "| --- " * (len(page.COLUMNS) + 1) + "|"
    for row in page.table(findings, group):
        cells = [row.name, *row.cells]
        yield "| " + " | ".join(f"**{cell}**" if row.is_model else cell for cell in cells) + " |"


def _intervals(draft: Draft, findings: Findings) -> Iterator[str]:
    factor = draft.record.calibration.factor if draft.record.calibration else None
    yield "### Do the intervals hold?\n"
    yield (
        "How often the true value lies inside the central interval the model gives, on the files above. Foreground is "
        "what is brighter than Otsu's threshold of the target."
        + (
            f" Calibration multiplied all scales by {factor:.3g}, and measured at which level an interval has to be "
            "asked for to hold; both were found on the files to choose on."
            if factor
            else ""
        )
    )
    yield ""
    yield "| pixels | " + " | ".join(f"{100 * level:g} % interval" for level in page.LEVELS) + " |"
    yield "| --- " * (len(page.LEVELS) + 1) + "|"
    for row in page.coverage_rows(findings.overall):
        yield "| " + " | ".join((row.name, *row.cells[: len(page.LEVELS)])) + " |"


def _training(recipe: Recipe, draft: Draft) -> Iterator[str]:
    training, network = draft.record.training, draft.record.network
    assert training is not None  # of a model that was trained here
    assert network is not None
    yield "## Training\n"
    for each in training.data:
        yield f"- Data `{each.name}`: {each.parts}. Licence: {each.license}. Origin: {each.origin}."
    for each_set in recipe.data.sets:
        if each_set.is_noisy:
            yield f"- Set `{each_set.name}`: {_TARGETS[each_set.target]}"
    moved = [f"`{each.name}`" for each in recipe.data.sets if each.register]
    if moved:
        yield (
            f"- Targets of {', '.join(moved)} were moved onto their sources by the shift measured between them (spline "
            "interpolation), those that scores are measured against, too."
        )
    yield "- Every file with its hash stands in `training_data.csv`, every setting in `recipe.yaml`."
    fits = training.members
    each_a = f"{len(fits)} members, each a " if len(fits) > 1 else ""
    yield f"- {each_a}{architecture(network)}; {network.n_parameters:,} parameters in all."
    for number, fit in enumerate(fits, start=1):
        yield (
            f"- {f'Member {number}: ' if len(fits) > 1 else ''}{fit.n_steps} steps of {recipe.training.batch_size} "
            f"patches; the weights are those of epoch {fit.best_epoch} of {fit.n_epochs}, seed {recipe.seed}."
        )
    if draft.parent:
        yield f"- Fine-tuned from {draft.parent[0]} {draft.parent[1]}."


def architecture(network: Architecture) -> str:
    """Return a network in words."""
    return f"{network.name} of depth {network.settings['depth']}, {network.settings['n_first']} first filters"


def use(draft: Draft) -> Iterator[str]:
    """How to run the package."""
    archive = f"{draft.id}-{draft.version}.zip"
    yield "## How to use it\n"
    yield "On the command line:\n"
    yield f"    carezoo restore image.tif --model {archive} -o restored\n"
    yield "In Python:\n"
    yield "    import carezoo"
    yield f'    restored = carezoo.load("{archive}").restore("image.tif").mean'
    yield ""
    units = "" if isinstance(draft.normalization, Constants) else "give normalized intensities, and "
    yield (
        "In Fiji: open the restored TIFF; calibration, channels and notes are kept. The package follows the "
        "bioimage.io model format, so that other programs (deepImageJ, bioimageio.core) can run it too; they "
        f"{units}treat the borders of images by rules of their own."
    )


def limits(draft: Draft) -> Iterator[str]:
    """What it cannot do."""
    yield "## Limits\n"
    yield (
        "- The model restores what it was trained on. Structures, noise levels or pixel sizes it has not seen may come "
        "out wrong and still look sharp: compare with a clean image before you measure anything."
    )
    yield "- It cannot bring back what the noise has erased; plausible detail is not evidence."
    halos = ", ".join(f"{letter} {rule.halo}" for letter, rule in draft.rules.items())
    yield f"- Programs that cut images into tiles must discard {halos} pixels on each side of a tile."
    if any(consistency.is_fixed(draft, letter) for letter in draft.axes):
        # Measured with bioimageio.core 0.11: the last piece along Z overwrites the others.
        yield (
            "- carezoo takes any number of planes. Give other programs stacks of exactly as many planes as the test "
            "input has: in blockwise mode bioimageio.core cuts deeper ones along Z without a word, and the result is "
            "wrong."
        )


def citations(draft: Draft) -> Iterator[str]:
    """What to cite, and the licence."""
    yield "## Citation and licence\n"
    for citation in draft.cite:
        where = f"https://doi.org/{citation.doi}" if citation.doi else citation.url
        yield f"- {citation.text}. {where}"
    yield f"- Licence of the model: {draft.license}."
