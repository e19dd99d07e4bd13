"""Whole evaluations of tiny packages: numbers, shapes of all tasks, degenerate images, reports on disk."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import packages
import pytest
import tifffile

import carezoo
from carezoo.errors import AxesError, InputError
from carezoo.evaluate import evaluation, frames
from carezoo.evaluate.assessment import AssessmentOptions, assess
from carezoo.evaluate.frames import ScoredFrame
from carezoo.evaluate.pairs import conditions, find_pairs
from carezoo.evaluate.report import page
from carezoo.metrics import AffineFit, intensity_errors
from carezoo.package.manifest import Members
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.pairs.intensity import Relation
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture


def noisy_of(clean, seed=0):
    return np.random.default_rng(seed).poisson(clean / 20.0).astype(np.uint16) * 20


def save(folder, images, axes="YX"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        tifffile.imwrite(folder / name, image, metadata={"axes": axes})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = write_package(packages.probabilistic_2d(), tmp_path_factory.mktemp("model") / "model.zip")
    return carezoo.load(path)


@pytest.fixture
def pairs(tmp_path):
    """Return a folder with `low`, `lower` and `high`, three fields each."""
    clean = {f"{name}.tif": packages.picture((48, 64), seed) for seed, name in enumerate("abc")}
    save(tmp_path / "high", clean)
    save(tmp_path / "low", {name: noisy_of(image) for name, image in clean.items()})
    save(tmp_path / "lower", {name: noisy_of(image / 4, seed=1) for name, image in clean.items()})
    return tmp_path


def test_scores_are_those_of_restored_files_with_input_and_baselines_beside(model, pairs):
    found = model.evaluate(pairs / "low", pairs / "high", baselines=("gaussian",))
    scores = found.overall.scores
    assert found.overall.n_files == 3
    for one, name in zip(scores.files, "abc", strict=True):
        noisy, clean = (tifffile.imread(pairs / side / f"{name}.tif") for side in ("low", "high"))
        assert one.input == carezoo.score(noisy, clean)
        assert one.restored == carezoo.score(model.restore(noisy, "YX").mean, clean)
        assert one.baselines["gaussian"].psnr_db > one.input.psnr_db
    assert found.overall.best_baseline == "gaussian"
    gains = [one.restored.psnr_db - one.input.psnr_db for one in scores.files]
    assert scores.psnr_gain_db == pytest.approx(np.mean(gains))
    assert scores.psnr_gain_standard_error_db == pytest.approx(np.std(gains, ddof=1) / np.sqrt(3))
    assert set(found.overall.calibration) == {"foreground", "background", "all"}
    assert set(found.overall.sparsification) == {"scale"}
    assert len(found.examples) == 3


def test_conditions_are_told_apart_and_tuned_apart(model, pairs):
    sources = {"C1": pairs / "low", "C2": pairs / "lower"}
    found = model.evaluate(sources, pairs / "high", baselines=("gaussian",))
    assert [group.name for group in found.all_groups] == ["C1", "C2", "all"]
    first, second, whole = found.all_groups
    assert first.scores.input.mean.psnr_db > second.scores.input.mean.psnr_db + 2
    assert first.parameters["gaussian"]["sigma"] < second.parameters["gaussian"]["sigma"]
    assert whole.n_files == 6
    mean = (first.scores.restored.mean.psnr_db + second.scores.restored.mean.psnr_db) / 2
    assert whole.scores.restored.mean.psnr_db == pytest.approx(mean)


def test_an_ensemble_is_sorted_by_disagreement_too(pairs, tmp_path):
    ensemble = carezoo.load(write_package(packages.ensemble_2d(), tmp_path / "ensemble.zip"))
    found = ensemble.evaluate(pairs / "low", pairs / "high", baselines=())
    assert set(found.overall.sparsification) == {"scale", "disagreement"}
    names = [panel.name for panel in found.examples[0][1].views[0][1]]
    assert names == ["input", "restored", "target", "error", "scale", "disagreement"]


@pytest.fixture
def frame():
    """Return a frame that a model restored with errors that are Laplace distributed, with half the right scale."""
    target = packages.picture((64, 64), 1).astype(np.float32)
    error = np.random.default_rng(0).laplace(0, 20, target.shape).astype(np.float32)
    restored = 3 * target + 50 + error
    predicted = Laplace(restored, np.full(target.shape, 10, np.float32))
    return ScoredFrame("a.tif", "a.tif", "", 3 * target + 50, target, {}, restored, predicted)


def test_an_ensemble_is_judged_by_its_mixture(pairs, tmp_path):
    package = open_package(write_package(packages.ensemble_2d(), tmp_path / "ensemble.zip"))
    found = find_pairs(conditions(pairs / "low", pairs / "high"), package.manifest)[:1]
    restoration = frames.open_restorer(package)(found[0])
    (frame,) = frames.frames(found[0], package.manifest, 1, restoration)
    assert isinstance(frame.predicted, Mixture)
    assert frame.predicted.n_members == 2
    # The graph's mean is that of its members, and their scales differ from its own.
    np.testing.assert_allclose(frame.predicted.mean, frame.restored, rtol=1e-4, atol=1e-3)
    members = package.manifest.carezoo.members
    tensor = packages.by_percentiles(tifffile.imread(pairs / "low" / "a.tif")[None, None])
    raw = packages.run(package.read_weights(), tensor)[1][0]
    assert members == Members("members", 2)
    ratio = frame.predicted.members.scale / raw[2:]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)
    cropped = frame.crop_middle({"Y": 8, "X": 8})
    assert cropped.predicted.members.mean.shape == (2, 8, 8)


def test_calibration_is_judged_in_the_units_of_the_input(frame):
    images = {"input": frame.source, "restored": frame.restored}
    found = assess(frame, images, AssessmentOptions()).calibration
    # Half the scale: an interval of level 1 - q holds 1 - sqrt(q).
    np.testing.assert_allclose(found["all"].observed, 1 - np.sqrt(1 - np.array(found["all"].levels)), atol=0.03)
    assert found["foreground"].n_pixels + found["background"].n_pixels == found["all"].n_pixels


def test_calibration_before_the_factor_is_that_of_other_scales(frame):
    images = {"input": frame.source, "restored": frame.restored}
    found = assess(frame, images, AssessmentOptions(calibration_factor=0.5)).calibration
    np.testing.assert_allclose(found["all before calibration"].observed, found["all"].levels, atol=0.03)
    assert found["all"] == assess(frame, images, AssessmentOptions()).calibration["all"]


def test_restorations_with_units_of_their_own_are_fitted_first(frame):
    images = {"input": frame.source[::-1] ** 2, "restored": frame.restored}
    found = assess(frame, images, AssessmentOptions(has_own_units=True))
    assert found.scores.intensities is None
    np.testing.assert_allclose(found.calibration["all"].at(0.5), 1 - np.sqrt(0.5), atol=0.03)


def test_known_units_are_not_fitted(frame):
    images = {"input": frame.source[::-1] ** 2, "restored": frame.restored}
    known = assess(replace(frame, units=AffineFit(3.0, 50.0)), images, AssessmentOptions())
    np.testing.assert_allclose(known.calibration["all"].at(0.5), 1 - np.sqrt(0.5), atol=0.03)
    assert known.scores.intensities.gain_error == pytest.approx(0, abs=0.02)
    # A model whose restored images are a fifth too bright: a fit to them would hide that.
    bright = assess(replace(frame, units=AffineFit(2.5, 50.0)), images, AssessmentOptions())
    assert bright.scores.intensities.gain_error == pytest.approx(0.2, abs=0.02)
    assert bright.calibration["all"].at(0.5) < known.calibration["all"].at(0.5) - 0.1


def test_upsampled_stacks(tmp_path):
    fine = packages.picture((25, 24, 32), 3)
    save(tmp_path / "high", {"a.tif": fine}, "ZYX")
    save(
        tmp_path / "low", {"a.tif": noisy_of(np.stack([part.mean(axis=0) for part in np.array_split(fine, 10)]))}, "ZYX"
    )
    model = carezoo.load(write_package(packages.upsample_3d(), tmp_path / "model.zip"))
    found = model.evaluate(tmp_path / "low", tmp_path / "high")
    assert found.titles["input"] == "Input, linear along Z"
    assert set(found.overall.scores.baselines) == {"bicubic-z"}
    assert set(found.overall.spectra["restored"]) == {"Z", "Y", "X"}
    assert [words for words, _ in found.examples[0][1].views][1].startswith("section along Z")
    save(tmp_path / "high", {"a.tif": fine[:20]}, "ZYX")
    with pytest.raises(InputError, match=r"makes Z 25, but high/a\.tif is Z 20"):
        model.evaluate(tmp_path / "low", tmp_path / "high")


def test_projections(tmp_path):
    stack = packages.picture((9, 24, 32), 4)
    save(tmp_path / "high", {"a.tif": stack.max(axis=0)})
    save(tmp_path / "low", {"a.tif": noisy_of(stack)}, "ZYX")
    model = carezoo.load(write_package(packages.project_3d(), tmp_path / "model.zip"))
    found = model.evaluate(tmp_path / "low", tmp_path / "high", tmp_path / "report", axes="ZYX")
    assert found.titles["input"] == "Input, maximum projection"
    assert set(found.overall.scores.baselines) == {"max-projection", "height-map", "height-map-nlm"}
    assert found.has_own_units
    assert found.overall.scores.intensities is None
    assert "units of their own" in (tmp_path / "report" / "index.html").read_text()
    pairs = find_pairs(conditions(tmp_path / "low", tmp_path / "high"), model.package.manifest, "ZYX")
    relations = {pair.source_key: Relation(np.array([2.0]), np.array([7.0])) for pair in pairs}
    known = evaluation.evaluate(model.package, pairs, evaluation.EvaluationSettings(baselines=(), relations=relations))
    assert not known.has_own_units
    restored, expected = model.restore(tmp_path / "low" / "a.tif", "ZYX").mean, 2.0 * stack.max(axis=0) + 7.0
    assert known.overall.scores.intensities.mean == intensity_errors(restored, expected)


def test_volumes_of_few_planes_have_no_ssim_and_say_so(tmp_path):
    thin = packages.picture((5, 32, 40), 5)
    save(tmp_path / "high", {"a.tif": thin}, "ZYX")
    save(tmp_path / "low", {"a.tif": noisy_of(thin)}, "ZYX")
    model = carezoo.load(write_package(packages.denoise_3d(), tmp_path / "model.zip"))
    found = model.evaluate(tmp_path / "low", tmp_path / "high", tmp_path / "report", baselines=("gaussian",))
    assert found.overall.scores.restored.mean.ssim is None
    assert page.table(found, found.overall)[0].cells[2] == "–"
    assert (
        json.loads((tmp_path / "report" / "scores.json").read_text())["all"]["scores"]["restored"]["mean"]["ssim"]
        is None
    )


def test_frames_and_channels_of_one_file_count_once(tmp_path):
    clean = np.stack([[packages.picture((32, 48), 10 * t + c) for c in range(2)] for t in range(5)])
    save(tmp_path / "high", {"a.tif": clean, "b.tif": clean[::-1]}, "TCYX")
    save(tmp_path / "low", {"a.tif": noisy_of(clean), "b.tif": noisy_of(clean[::-1])}, "TCYX")
    model = carezoo.load(write_package(packages.two_channels_2d(), tmp_path / "model.zip"))
    found = model.evaluate(tmp_path / "low", tmp_path / "high", baselines=("gaussian",), most_frames=3)
    assert [group.name for group in found.groups] == ["nuclei", "membranes"]
    assert [len(group.scores.files) for group in found.groups] == [6, 6]
    assert found.groups[0].n_files == 2
    assert found.n_files_with_more == 2
    assert found.groups[1].scores.files[1].name == "a.tif, T 2, channel 1"


def test_channels_restored_one_by_one_are_judged_by_the_scale_of_each(model, tmp_path):
    clean = np.stack([packages.picture((48, 64), 1), packages.picture((48, 64), 2) // 20 + 1])
    save(tmp_path / "high", {"a.tif": clean}, "CYX")
    save(tmp_path / "low", {"a.tif": noisy_of(clean)}, "CYX")
    both = model.evaluate(tmp_path / "low", tmp_path / "high", baselines=()).groups
    for channel, found in enumerate(both):
        save(tmp_path / f"high {channel}", {"a.tif": clean[channel]})
        save(tmp_path / f"low {channel}", {"a.tif": noisy_of(clean)[channel]})
        alone = model.evaluate(tmp_path / f"low {channel}", tmp_path / f"high {channel}", baselines=()).overall
        assert found.calibration["all"].observed == alone.calibration["all"].observed
    assert both[0].calibration["all"].observed != both[1].calibration["all"].observed


def test_only_the_middle_of_large_images_is_scored_where_asked(model, pairs):
    found = model.evaluate(pairs / "low", pairs / "high", baselines=(), largest={"Y": 32, "X": 16})
    noisy, clean = (tifffile.imread(pairs / side / "a.tif")[8:40, 24:40] for side in ("low", "high"))
    assert found.overall.scores.files[0].input == carezoo.score(noisy, clean)


def test_a_constant_target_is_left_out_and_told(model, pairs, caplog):
    save(pairs / "high", {"b.tif": np.full((48, 64), 7, np.uint16)})
    found = model.evaluate(pairs / "low", pairs / "high", pairs / "report", baselines=("gaussian",))
    assert found.overall.n_files == 2
    assert found.skipped[0][0] == "b.tif"
    assert "b.tif is left out: target is constant" in caplog.text
    assert "Left out" in (pairs / "report" / "index.html").read_text()
    save(pairs / "high", {name: np.full((48, 64), 7, np.uint16) for name in ("a.tif", "c.tif")})
    with pytest.raises(InputError, match=r"none of 3 image\(s\) could be scored; the first, a.tif: target is constant"):
        model.evaluate(pairs / "low", pairs / "high")


def test_objects_are_counted_on_every_image(model, pairs):
    found = model.evaluate(pairs / "low", pairs / "high", pairs / "report", baselines=("gaussian",), diameter=6)
    assert set(found.overall.segmentation) == {"input", "gaussian", "restored"}
    assert 0 < found.overall.segmentation["gaussian"].seg <= 1
    assert "Objects of 6 pixels" in (pairs / "report" / "index.html").read_text()


def test_the_report_is_one_page_and_two_tables(model, pairs):
    evil = "a<script>&amp;.tif"
    (pairs / "low" / "a.tif").rename(pairs / "low" / evil)
    (pairs / "high" / "a.tif").rename(pairs / "high" / evil)
    steps = []
    folder = pairs / "report"
    found = model.evaluate(
        {"C1|x": pairs / "low"}, pairs / "high", folder, progress=lambda *step: steps.append(step[:2])
    )
    assert [n for n, _ in steps] == list(range(1, steps[0][1] + 1))
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "scores.csv", "scores.json"]
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script>" not in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "#a0000" not in html  # placeholders of charts
    rows = list(csv.DictReader((folder / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * (2 + 3)
    last = found.overall.scores.files[-1]
    assert float(rows[-1]["psnr_db"]) == pytest.approx(last.restored.psnr_db, rel=1e-5)
    assert float(rows[-1]["gain_error"]) == pytest.approx(last.intensities.gain_error, rel=1e-4)
    plain = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert plain["all"]["calibration"]["foreground"]["observed"] == pytest.approx(
        found.overall.calibration["foreground"].observed, rel=1e-5
    )
    assert plain["conditions"][0]["baseline_parameters"]["gaussian"] == found.groups[0].parameters["gaussian"]
    with pytest.raises(InputError, match="holds a report already"):
        model.evaluate(pairs / "low", pairs / "high", folder)


def test_the_same_images_give_the_same_page(model, pairs):
    texts = []
    for name in ("one", "two"):
        model.evaluate(pairs / "low", pairs / "high", pairs / name, baselines=("median",))
        texts.append(re.sub(r"<td>\d+ s</td>", "", (pairs / name / "index.html").read_text(encoding="utf-8")))
    assert texts[0] == texts[1]


def test_the_headline_names_a_defeat(model, pairs):
    found = model.evaluate(pairs / "low", pairs / "high", baselines=("gaussian",))
    assert re.search(r"That is [\d.]+ dB WORSE than the best baseline, Gaussian", page.headline(found))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "high" / "b.tif").unlink(), "1 of 3 source files have no target of the same name"),
        (lambda root: (root / "high" / "b.tif").rename(root / "high" / "bb.tif"), "the nearest name there is bb.tif"),
        (lambda root: save(root / "high", {"b.tif": np.zeros((48, 60), np.uint8)}), "makes X 64, but high/b.tif is"),
        (lambda root: [path.unlink() for path in (root / "low").iterdir()], "holds no image"),
    ],
)
def test_pairs_that_do_not_fit_are_told_before_anything_is_computed(model, pairs, change, words):
    change(pairs)
    steps = []
    with pytest.raises(InputError, match=words):
        model.evaluate(pairs / "low", pairs / "high", progress=lambda *step: steps.append(step))
    assert steps == []


def test_images_of_other_axes_than_the_model(tmp_path):
    save(tmp_path / "low", {"a.tif": packages.picture((32, 40))})
    model = carezoo.load(write_package(packages.denoise_3d(), tmp_path / "model.zip"))
    with pytest.raises(InputError, match=r"works along ZYX, but low/a\.tif has axes YX"):
        model.evaluate(tmp_path / "low", tmp_path / "low")
    with pytest.raises(AxesError):
        model.evaluate(tmp_path / "low", tmp_path / "low", axes="ZYX")
    with pytest.raises(InputError, match="same names"):
        model.evaluate({"A": tmp_path / "low"}, {"B": tmp_path / "low"})


def test_files_of_one_stem_and_two_single_files_are_pairs(model, pairs):
    (pairs / "high" / "a.tif").rename(pairs / "high" / "a.ome.tif")
    assert model.evaluate(pairs / "low", pairs / "high", baselines=()).overall.n_files == 3
    one = model.evaluate(pairs / "low" / "a.tif", pairs / "high" / "a.ome.tif", baselines=())
    assert one.overall.n_files == 1
