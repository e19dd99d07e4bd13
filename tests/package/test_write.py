"""Writing packages: the same bytes, whole or not at all, and what other readers and people get."""

import dataclasses
import os
import zipfile
from datetime import datetime
from fractions import Fraction

import hostile
import numpy as np
import packages
import pytest
import yaml

from carezoo.errors import InputError, IntegrityError, ManifestError, PackageError
from carezoo.package import consistency, write
from carezoo.package.draft import Citation, Constants, Percentiles
from carezoo.package.info import describe, summary
from carezoo.package.manifest import ChannelMeaning, IntensityUse, Record
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.tiling import AxisRule


@pytest.mark.parametrize("name", packages.DRAFTS)
def test_a_written_package_is_read_back_as_drafted(tmp_path, name):
    draft = packages.DRAFTS[name]()
    package = open_package(write_package(draft, tmp_path / "model.zip"))
    manifest = package.manifest
    assert manifest.reference == f"{draft.id} {draft.version}"
    assert manifest.input.rules == draft.rules
    assert manifest.input.channels == draft.input_channels
    assert manifest.outputs[0].channels == tuple(meaning.name for meaning in draft.output_channels)
    factors = {letter: size.factor for letter, size in manifest.outputs[0].sizes.items()}
    assert factors == {letter: draft.factors.get(letter, Fraction(1)) for letter in draft.output_axes}
    assert manifest.input.pixel_size_um == pytest.approx(dict(draft.pixel_size_um), rel=1e-6)
    assert set(package.names()) == {*draft.files, "rdf.yaml"}
    assert package.read_weights() == draft.files["weights.onnx"]
    assert set(manifest.hashes) == set(draft.files)
    assert manifest.carezoo.bytes_per_pixel == 200


def test_the_same_draft_gives_the_same_bytes(tmp_path):
    draft = packages.ensemble_2d()
    first = write_package(draft, tmp_path / "first.zip").read_bytes()
    shuffled = dataclasses.replace(draft, files=dict(reversed(draft.files.items())))
    assert write_package(shuffled, tmp_path / "second.zip").read_bytes() == first


def test_a_zip_holds_the_manifest_first_and_nothing_of_the_clock_or_machine(tmp_path):
    with zipfile.ZipFile(write_package(packages.denoise_2d(), tmp_path / "model.zip")) as archive:
        entries = archive.infolist()
    assert entries[0].filename == "rdf.yaml"
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {(entry.compress_type, entry.create_system) for entry in entries} == {(zipfile.ZIP_STORED, 3)}


def test_folder_and_zip_are_the_same_package(tmp_path):
    folder = write_package(packages.denoise_2d(), tmp_path / "deep" / "model")
    archive = write_package(packages.denoise_2d(), tmp_path / "model.zip")
    assert open_package(folder).sha256 == open_package(archive).sha256
    assert open_package(folder / "rdf.yaml").sha256 == open_package(archive).sha256


def test_a_zip_with_one_top_folder_and_another_manifest_name_is_read(tmp_path):
    good = write_package(packages.denoise_2d(), tmp_path / "model.zip")
    files = {f"model/{name}": content for name, content in hostile.entries(good).items()}
    moved = hostile.write(tmp_path / "moved.zip", {**files, "__MACOSX/model/._rdf.yaml": b"\0"})
    assert open_package(moved).sha256 == open_package(good).sha256
    files = {"bioimageio.yaml" if name == "rdf.yaml" else name: c for name, c in hostile.entries(good).items()}
    assert open_package(hostile.write(tmp_path / "renamed.zip", files)).sha256 == open_package(good).sha256


@pytest.mark.parametrize("name", ["model.zip", "model"])
def test_what_stands_there_is_replaced_only_when_asked(tmp_path, name):
    target = write_package(packages.denoise_2d(), tmp_path / name)
    before = open_package(target).sha256
    with pytest.raises(InputError, match="exists already"):
        write_package(packages.denoise_2d(seed=1), target)
    assert open_package(target).sha256 == before
    write_package(packages.denoise_2d(seed=1), target, overwrite=True)
    assert open_package(target).sha256 != before
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_no_package_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.tif").write_bytes(b"x")
    with pytest.raises(InputError, match="is not a model package"):
        write_package(packages.denoise_2d(), tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "one.tif").exists()


@pytest.mark.parametrize("content", [{"one.tif": b"x"}, {"one/rdf.yaml": b"", "two/rdf.yaml": b""}, None])
def test_a_zip_that_is_no_package_is_never_replaced(tmp_path, content):
    target = tmp_path / "photos.zip"
    if content is None:
        target.write_bytes(b"not even a zip")
    else:
        hostile.write(target, content)
    before = target.read_bytes()
    with pytest.raises(InputError, match="is not a model package"):
        write_package(packages.denoise_2d(), target, overwrite=True)
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", ["model.zip", "model"])
def test_a_failure_leaves_the_old_package_and_nothing_else(tmp_path, monkeypatch, name):
    target = write_package(packages.denoise_2d(), tmp_path / name)
    before = open_package(target).sha256

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_zip" if name.endswith(".zip") else "_write_folder", fail)
    with pytest.raises(PackageError, match="No space left on device"):
        write_package(packages.denoise_2d(seed=1), target, overwrite=True)
    assert open_package(target).sha256 == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_moved_comes_back(tmp_path, monkeypatch):
    target = write_package(packages.denoise_2d(), tmp_path / "model")
    before, replace = open_package(target).sha256, os.replace

    def fail(self, other):
        if self.name == "model" and self.parent != tmp_path:
            raise OSError(5, "Input/output error")
        replace(self, other)

    monkeypatch.setattr(type(target), "replace", fail)
    with pytest.raises(PackageError, match="Input/output error"):
        write_package(packages.denoise_2d(seed=1), target, overwrite=True)
    assert open_package(target).sha256 == before


def test_a_place_that_cannot_be_written_to_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PackageError, match="cannot be written"):
        write_package(packages.denoise_2d(), tmp_path / "file" / "model.zip")


def test_extra_files_are_attached(tmp_path):
    draft = packages.denoise_2d(files={"recipe.yaml": b"task: denoise\n", "cover.png": b"png"})
    rdf = open_package(write_package(draft, tmp_path / "model.zip")).manifest.rdf
    assert [entry["source"] for entry in rdf["attachments"]] == ["recipe.yaml"]
    assert rdf["covers"] == ["cover.png"]
    assert rdf["documentation"] == "README.md"


def test_names_people_give_become_identifiers_for_other_readers_only(tmp_path):
    meanings = [ChannelMeaning("mean", 0, "DAPI 405"), ChannelMeaning("mean", 1, "405 DAPI")]
    draft = packages.two_channels_2d(input_channels=("DAPI 405", "DAPI-405"), output_channels=tuple(meanings))
    manifest = open_package(write_package(draft, tmp_path / "model.zip")).manifest
    assert manifest.input.channels == ("DAPI 405", "DAPI-405")
    assert manifest.rdf["inputs"][0]["axes"][1]["channel_names"] == ["DAPI_405", "DAPI_405_1"]
    assert manifest.rdf["outputs"][0]["axes"][1]["channel_names"] == ["DAPI_405", "channel_405_DAPI"]


@pytest.mark.parametrize(
    ("rule", "factor", "halo", "smallest"),
    [
        (AxisRule(8, 8, 48), Fraction(1), (48, 48), 104),
        (AxisRule(1, 1, 3), Fraction(1), (4, 4), 9),
        (AxisRule(2, 2, 2), Fraction(5, 2), (5, 2), 6),
        (AxisRule(5, 5, 5), Fraction(51, 5), (102, 10), 25),
        (AxisRule(1, 1, 3, is_tileable=False), Fraction(5, 2), (10, 4), 9),
        (AxisRule(1, 1, 0), Fraction(1), (0, 0), 1),
    ],
)
def test_a_halo_grows_for_other_readers_until_it_is_whole_and_even(rule, factor, halo, smallest):
    assert consistency.format_halo(rule, factor) == halo
    assert consistency.format_minimum(rule, factor) == smallest


BAD = {
    "id": ({"id": "My Model"}, "lower-case letters"),
    "name": ({"name": "abc"}, "5 to 128 letters"),
    "description": ({"description": "x" * 2000}, "the format takes 1024"),
    "cite": ({"cite": (Citation("someone"),)}, "neither doi nor url"),
    "timestamp": ({"timestamp": datetime(2026, 1, 1)}, "no time zone"),
    "step": ({"rules": {"Y": AxisRule(3, 2, 6), "X": AxisRule(2, 2, 6)}}, "no multiples of step"),
    "axes": ({"axes": "XY"}, "do not fit"),
    "numbers": ({"record": Record(scores={"psnr": np.float32(30)})}, "not a plain value"),
    "meaning": ({"output_channels": (ChannelMeaning("mean", 4, "nuclei"),)}, "with 1 input channel"),
    "channel names": ({"output_channels": (ChannelMeaning("mean", 0, ""),)}, "names of their own"),
    "constants": ({"normalization": Constants((3.0,), (3.0,))}, "constants"),
    "size": ({"files": {"test_input.npy": packages.npy(np.ones((1, 1, 8, 48), np.uint16))}}, "the format accepts 14"),
    "rank": ({"files": {"test_input.npy": packages.npy(np.ones((1, 32, 48), np.uint16))}}, "for axes BCYX"),
    "type": ({"files": {"test_input.npy": packages.npy(np.ones((1, 1, 32, 48), np.float16))}}, "float16"),
    "output": ({"files": {"test_output.npy": packages.npy(np.ones((1, 1, 30, 48), np.float32))}}, "expected 1 channel"),
}


@pytest.mark.parametrize("what", BAD)
def test_drafts_that_do_not_fit_together_are_refused(tmp_path, what):
    changes, cause = BAD[what]
    draft = dataclasses.replace(packages.denoise_2d(), **{k: v for k, v in changes.items() if k != "files"})
    draft = dataclasses.replace(draft, files={**draft.files, **changes.get("files", {})})
    with pytest.raises(ManifestError, match=cause):
        write_package(draft, tmp_path / "model.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_draft_without_weights_or_with_a_path_that_escapes_is_refused(tmp_path):
    draft = packages.denoise_2d()
    without = {name: content for name, content in draft.files.items() if name != "weights.onnx"}
    with pytest.raises(ManifestError, match=r"weights\.onnx are missing"):
        write_package(dataclasses.replace(draft, files=without), tmp_path / "model.zip")
    with pytest.raises(IntegrityError, match="leads out"):
        write_package(dataclasses.replace(draft, files={**draft.files, "../x": b""}), tmp_path / "model.zip")


def test_upsampling_needs_a_step_with_whole_output(tmp_path):
    draft = packages.upsample_3d()
    rules = {**draft.rules, "Z": AxisRule(1, 1, 1)}
    with pytest.raises(ManifestError, match="step 1 times 5/2 is not whole"):
        write_package(dataclasses.replace(draft, rules=rules), tmp_path / "model.zip")


def test_percentiles_and_their_mode_are_written(tmp_path):
    draft = packages.denoise_2d(normalization=Percentiles(1.0, 99.0, mode="own"))
    manifest = open_package(write_package(draft, tmp_path / "model.zip")).manifest
    assert manifest.carezoo.intensity == IntensityUse("own", "input_range")
    assert (manifest.input.preprocessing[1].low_percentile, manifest.input.preprocessing[1].high_percentile) == (1, 99)


def test_channels_without_units_are_left_as_they_are(tmp_path):
    draft = packages.denoise_2d(output_channels=(ChannelMeaning("mean", None, "merged"),))
    manifest = open_package(write_package(draft, tmp_path / "model.zip")).manifest
    assert manifest.results[0].undo == "none"
    assert manifest.carezoo.intensity.undo == "none"


def test_the_manifest_is_plain_yaml_without_aliases_or_tags(tmp_path):
    text = (write_package(packages.upsample_3d(), tmp_path / "model") / "rdf.yaml").read_text("utf8")
    assert not any(isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) for event in yaml.parse(text))
    assert text.startswith("format_version: 0.5.3\ntype: model\nid: test-upsample\n")


@pytest.mark.parametrize("name", [*packages.DRAFTS, *packages.FOREIGN])
def test_a_person_is_told_what_a_package_is(tmp_path, name):
    if name in packages.DRAFTS:
        path = write_package(packages.DRAFTS[name](), tmp_path / "model")
    else:
        path = packages.FOREIGN[name](tmp_path / "model")
    package = open_package(path)
    told, text = describe(package), summary(package)
    assert yaml.safe_load(yaml.safe_dump(told)) == told
    assert text.startswith(f"{package.manifest.id} {package.manifest.version}: ")
    assert package.sha256 in text
    words = " ".join(text.split())
    assert all(remark in words for remark in package.manifest.remarks)
    assert max(map(len, text.splitlines())) <= 110


def test_the_screen_tells_task_axes_ensemble_and_scores(tmp_path):
    draft = packages.ensemble_2d(record=Record(scores={"psnr_gain_db": 6.5}, fast={"unmeasured": "no device"}))
    text = summary(open_package(write_package(draft, tmp_path / "model.zip")))
    for part in (
        "denoise",
        "not measured where this model was packed: no device",
        "takes         YX (nuclei)",
        "disagreement",
        "2 members",
        "psnr_gain_db 6.5",
        "halo 6",
        "percentiles 2 to 99.8",
        "MB, opset 17",
        "BSD-3-Clause",
    ):
        assert part in text
    projected = " ".join(summary(open_package(write_package(packages.project_3d(), tmp_path / "p.zip"))).split())
    assert "never cut into tiles, projected" in projected
    assert "YX (nuclei)" in projected
