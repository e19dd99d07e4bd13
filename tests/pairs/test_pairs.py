from __future__ import annotations

import dataclasses
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.errors import DataError, RecipeError
from carezoo.files.atomic import hash_file
from carezoo.pairs.find import find_pairs
from carezoo.pairs.section import FileSet, PairAxes, Split
from carezoo.pairs.split import PARTS, PairParts, split_pairs
from carezoo.train.pack.records import record_files
from carezoo.train.sections import Data


def save(path: Path, shape: tuple[int, ...] = (12, 14), axes: str = "YX") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(str(path).encode()))
    pixels = rng.integers(0, 1000, shape).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": axes}, imagej=set(axes) <= set("TZCYX"))
    return path


def make_pairs(folder: Path, names: list[str], **options) -> None:
    for name in names:
        save(folder / "low" / name, **options)
        save(folder / "high" / name, **options)


def data_in(folder: Path, *sets: FileSet, **options) -> Data:
    return Data(sets=sets or (FileSet(source=("low",), target=("high",)),), folder=str(folder), **options)


def parts_of(data: Data, seed: int = 1) -> PairParts:
    return split_pairs(find_pairs(data, PairAxes("YX")), data.sets, seed)


def names_in(parts: PairParts) -> dict[str, list[str]]:
    return {part: [pair.source_path.name for pair in getattr(parts, part)] for part in PARTS}


def test_pairs_have_equal_names_and_are_not_read(tmp_path):
    make_pairs(tmp_path, ["b.tif", "a.tif"])
    (tmp_path / "low" / "notes.txt").write_text("no image")
    (tmp_path / "low" / ".hidden.tif").write_text("no image")
    save(tmp_path / "high" / "only-here.tif")
    pairs = find_pairs(data_in(tmp_path), PairAxes("YX"))
    assert [pair.name for pair in pairs] == ["data1: low/a.tif", "data1: low/b.tif"]
    assert all(pair.source_path.parent.name == "low" and pair.target_path.parent.name == "high" for pair in pairs)
    assert not isinstance(pairs[0].source.pixels, np.ndarray)
    np.testing.assert_array_equal(pairs[0].source.array(), tifffile.imread(tmp_path / "low" / "a.tif"))


def test_files_are_paired_in_the_order_given(tmp_path):
    save(tmp_path / "a_noisy.tif"), save(tmp_path / "a_clean.tif")
    save(tmp_path / "b_noisy.tif"), save(tmp_path / "b_clean.tif")
    data = data_in(tmp_path, FileSet(source=("a_noisy.tif", "b_noisy.tif"), target=("a_clean.tif", "b_clean.tif")))
    matched = [(pair.source_path.name, pair.target_path.name) for pair in find_pairs(data, PairAxes("YX"))]
    assert matched == [("a_noisy.tif", "a_clean.tif"), ("b_noisy.tif", "b_clean.tif")]


def test_axes_are_given_or_read_and_leading_ones_may_be_absent(tmp_path):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((5, 12, 14), np.uint16), metadata=None)
        tifffile.imwrite(tmp_path / f"{name}_mean.tif", np.zeros((12, 14), np.uint16), metadata=None)
    sets = FileSet(
        source=tuple(f"{name}.tif" for name in "abc"), target=tuple(f"{name}_mean.tif" for name in "abc"), axes="TYX"
    )
    pair = find_pairs(data_in(tmp_path, sets), PairAxes("YX"))[0]
    assert (pair.source.axes, pair.target.axes) == ("TYX", "YX")
    with pytest.raises(DataError, match="axes"):
        find_pairs(data_in(tmp_path, dataclasses.replace(sets, axes=None)), PairAxes("YX"))


def test_sources_are_averages_of_frames(tmp_path, caplog):
    save(tmp_path / "low" / "a.tif", (11, 12, 14), "TYX"), save(tmp_path / "high" / "a.tif", (5, 12, 14), "TYX")
    save(tmp_path / "low" / "b.tif", (4, 12, 14), "TYX"), save(tmp_path / "high" / "b.tif", (12, 14))
    averages = FileSet(source=("low",), target=("high",), average=2)
    pair, one_for_all = find_pairs(data_in(tmp_path, averages), PairAxes("YX"))
    frames = tifffile.imread(tmp_path / "low" / "a.tif").astype(np.float64)
    np.testing.assert_allclose(pair.source.array(), frames[:10].reshape(5, 2, 12, 14).mean(1), rtol=1e-6)
    np.testing.assert_array_equal(pair.target.array(), tifffile.imread(tmp_path / "high" / "a.tif"))
    assert one_for_all.source.sizes["T"] == 2
    assert caplog.messages == ["low/a.tif: its last 1 frames fill no average of 2"]
    three = data_in(tmp_path, dataclasses.replace(averages, average=3))
    assert_refused(three, "as many frames (after averaging) as its source", "T 3 in the source and 5 in")
    assert_refused(
        data_in(tmp_path, dataclasses.replace(averages, average=5)), "low/b.tif cannot be used", "4 frame(s)"
    )
    with pytest.raises(RecipeError, match="average: expected a number of frames, 1 or more, found 0"):
        FileSet(source=("low",), target=("high",), average=0)


def test_several_noise_levels_share_a_target_and_stay_together(tmp_path):
    names = [f"{i}.tif" for i in range(10)]
    make_pairs(tmp_path, names)
    for name in names:
        save(tmp_path / "lower" / name)
    for seed in range(20):
        parts = parts_of(data_in(tmp_path, FileSet(source=("low", "lower"), target=("high",))), seed)
        targets = [{pair.target_path for pair in getattr(parts, part)} for part in PARTS]
        assert len(set.union(*targets)) == sum(map(len, targets)) == 10
        assert len(parts.fit) == 14
        assert len(parts.choose) == 2
        assert len(parts.report) == 4


def test_two_sets_that_share_scenes_split_them_alike(tmp_path):
    names = [f"{i}.tif" for i in range(10)]
    make_pairs(tmp_path, names)
    for name in names:
        save(tmp_path / "lower" / name)
    named = Split(choose=("3.tif",), report=("4.tif", "5.tif"))
    sets = (
        FileSet(source=("low",), target=("high",), name="dealt"),
        FileSet(source=("lower",), target=("high",), name="named", split=named),
    )
    parts = parts_of(data_in(tmp_path, *sets))
    assert names_in(parts)["choose"] == ["3.tif", "3.tif"]
    assert names_in(parts)["report"] == ["4.tif", "5.tif", "4.tif", "5.tif"]
    assert len(parts.fit) == 14


def test_the_split_follows_from_the_seed_not_from_the_folder(tmp_path):
    names = [f"{i}.tif" for i in range(12)]
    make_pairs(tmp_path / "here", names)
    make_pairs(tmp_path / "there", names[::-1])
    splits = [names_in(parts_of(data_in(tmp_path / "here"), seed)) for seed in range(8)]
    assert splits[3] == names_in(parts_of(data_in(tmp_path / "there"), 3))
    assert len({tuple(split["report"]) for split in splits}) > 1


def test_files_are_split_by_name(tmp_path):
    make_pairs(tmp_path, [f"fov{i:02}.tif" for i in range(1, 9)])
    split = Split(fit=("fov0[1-4].tif",), choose=("fov06.tif",), report=("fov07.tif", "fov08.tif"))
    parts = parts_of(data_in(tmp_path, FileSet(source=("low",), target=("high",), split=split)))
    assert names_in(parts) == {
        "fit": ["fov01.tif", "fov02.tif", "fov03.tif", "fov04.tif"],
        "choose": ["fov06.tif"],
        "report": ["fov07.tif", "fov08.tif"],
    }
    rest = dataclasses.replace(split, fit=())
    parts = parts_of(data_in(tmp_path, FileSet(source=("low",), target=("high",), split=rest)))
    assert len(parts.fit) == 5


def test_a_set_may_serve_one_part_alone(tmp_path):
    make_pairs(tmp_path / "one", [f"{i}.tif" for i in range(4)])
    make_pairs(tmp_path / "two", ["x.tif"])
    sets = (
        FileSet(source=("one/low",), target=("one/high",)),
        FileSet(source=("two/low",), target=("two/high",), split=Split(fit=("*",))),
    )
    assert [pair.dataset for pair in parts_of(data_in(tmp_path, *sets)).fit] == ["data1", "data1", "data2"]


@pytest.mark.parametrize("n_files", [1, 2])
def test_too_few_scenes_never_leak(tmp_path, n_files):
    make_pairs(tmp_path, [f"{i}.tif" for i in range(n_files)])
    parts = parts_of(data_in(tmp_path))
    for i in range(n_files):
        pieces = [getattr(parts, part)[i] for part in ("fit", "choose", "report")]
        for side in ("source", "target"):
            whole = tifffile.imread(getattr(pieces[0], f"{side}_path"))
            put_together = np.concatenate([getattr(piece, side).array() for piece in pieces], axis=-2)
            np.testing.assert_array_equal(put_together, whole)
    pairs = find_pairs(data_in(tmp_path), PairAxes("YX"))
    with pytest.raises(
        DataError, match=r"cut along Y to fit, to choose and to report on, which takes 3 patches of 400"
    ):
        split_pairs(pairs, data_in(tmp_path).sets, 1, least={"Y": 400})


def test_a_movie_is_cut_along_time(tmp_path):
    for side in ("low", "high"):
        save(tmp_path / side / "a.tif", (20, 24, 32), axes="TYX")
    data = data_in(tmp_path, FileSet(source=("low",), target=("high",), axes="TYX"))
    parts = parts_of(data)
    frames = [getattr(parts, part)[0].source.shape for part in ("fit", "choose", "report")]
    assert frames == [(14, 24, 32), (2, 24, 32), (4, 24, 32)]
    split = Split(choose_fraction=0.48, report_fraction=0.48)
    greedy = data_in(tmp_path, FileSet(source=("low",), target=("high",), axes="TYX", split=split))
    pairs = [
        dataclasses.replace(each, source=each.source.crop(ten), target=each.target.crop(ten))
        for each in find_pairs(greedy, PairAxes("YX"))
        for ten in [{"T": slice(0, 10)}]
    ]
    with pytest.raises(
        DataError, match=r"cut along T .* takes 1 frame\(s\) for each, and T has 10; .*lower choose_fraction"
    ):
        split_pairs(pairs, greedy.sets, 1)


def test_three_scenes_suffice(tmp_path):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif"])
    assert sorted(len(files) for files in names_in(parts_of(data_in(tmp_path))).values()) == [1, 1, 1]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (Split(choose=("a.tif",), report=("a.tif",)), ["choose and to report", "a.tif", "one part"]),
        (Split(fit=("*",), choose=("a.tif",), report=("b.tif",)), ["fit and to choose"]),
        (Split(choose=("a.tif",)), ["no file is left to report"]),
        (Split(fit=("a.tif",), choose=("b.tif",)), ["no file is left to report"]),
        (Split(choose=("aa.tif",), report=("b.tif",)), ["split.choose", "'aa.tif'", "did you mean a.tif?"]),
        (Split(choose=("zzz",), report=("b.tif",)), ["split.choose", "its first file is a.tif"]),
    ],
)
def test_a_split_that_cannot_be_meant_is_refused(tmp_path, split, words):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif"])
    with pytest.raises(DataError) as raised:
        parts_of(data_in(tmp_path, FileSet(source=("low",), target=("high",), split=split)))
    for word in words:
        assert word in str(raised.value)


def test_sets_that_disagree_about_a_scene_are_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif"])
    for name in "abc":
        save(tmp_path / "lower" / f"{name}.tif")
    sets = (
        FileSet(source=("low",), target=("high",), split=Split(choose=("a.tif",), report=("b.tif",))),
        FileSet(source=("lower",), target=("high",), split=Split(choose=("b.tif",), report=("a.tif",))),
    )
    with pytest.raises(DataError, match=r"lower/a\.tif: its scene would belong to choose and to report"):
        parts_of(data_in(tmp_path, *sets))


def assert_refused(data: Data, *words: str, axes: str = "YX") -> None:
    with pytest.raises(DataError) as raised:
        find_pairs(data, PairAxes(axes))
    for word in words:
        assert word in str(raised.value)


def test_a_missing_folder_names_where_paths_start(tmp_path):
    assert_refused(data_in(tmp_path), str(tmp_path / "low"), "does not exist", "--data")


def test_an_empty_folder_is_named(tmp_path):
    make_pairs(tmp_path, ["a.tif"])
    (tmp_path / "empty").mkdir()
    assert_refused(data_in(tmp_path, FileSet(source=("empty",), target=("high",))), "empty", "no image", "it is empty")
    (tmp_path / "empty" / "a.xyz").write_bytes(b"")
    assert_refused(
        data_in(tmp_path, FileSet(source=("empty",), target=("high",))), "set data1", "1 other entries", "a.xyz"
    )
    narrowed = FileSet(source=("low",), target=("high",), pattern="b*")
    assert_refused(data_in(tmp_path, narrowed), "no image", "that matches 'b*'", "such as a.tif")


def test_a_missing_target_is_named_with_the_nearest(tmp_path):
    make_pairs(tmp_path, ["a.tif", "b.tif"])
    save(tmp_path / "low" / "image_c1.tif")
    save(tmp_path / "high" / "image_c2.tif")
    assert_refused(data_in(tmp_path), "1 of 3", "image_c1.tif", "nearest name there is image_c2.tif")


def test_two_targets_of_one_name_are_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif"])
    save(tmp_path / "other" / "a.tif")
    assert_refused(data_in(tmp_path, FileSet(source=("low",), target=("high", "other"))), "two targets are called a")


def test_a_source_in_two_sets_is_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif"])
    both = FileSet(source=("low",), target=("high",))
    assert_refused(data_in(tmp_path, both, both), "low/a.tif", "twice", "data1", "data2")


def test_an_unreadable_file_is_named(tmp_path):
    make_pairs(tmp_path, ["a.tif"])
    (tmp_path / "low" / "a.tif").write_bytes(b"II*\0 this is no image")
    assert_refused(data_in(tmp_path), "set data1", "low/a.tif cannot be used")


def test_a_target_of_another_size_is_refused_with_both(tmp_path):
    save(tmp_path / "low" / "a.tif", (12, 14)), save(tmp_path / "high" / "a.tif", (24, 28))
    assert_refused(data_in(tmp_path), "low/a.tif is Y 12 x X 14", "high/a.tif is Y 24 x X 28", "crop or resample")


def test_a_target_with_other_planes_or_frames_is_refused(tmp_path):
    save(tmp_path / "low" / "a.tif", (6, 12, 14), "ZYX"), save(tmp_path / "high" / "a.tif", (5, 12, 14), "ZYX")
    assert_refused(data_in(tmp_path), "Z 6", "Z 5", axes="ZYX")
    save(tmp_path / "low" / "a.tif", (6, 12, 14), "TYX"), save(tmp_path / "high" / "a.tif", (5, 12, 14), "TYX")
    assert_refused(data_in(tmp_path), "as many frames", "T 6", "5")


def test_axes_that_do_not_fit_the_network_are_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif"])
    assert_refused(data_in(tmp_path), "low/a.tif", "axes ZYX", "found YX", "(12, 14)", "patches.size", axes="ZYX")


def test_channels_that_do_not_fit_the_model_are_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif"], shape=(2, 12, 14), axes="CYX")
    assert_refused(data_in(tmp_path), "low/a.tif", "expected 1 channel(s) (signal)", "found 2", "source_channels")
    one = FileSet(source=("low",), target=("high",), source_channels=(1,), target_channels=(1,))
    assert find_pairs(data_in(tmp_path, one), PairAxes("YX"))[0].source_channels == (1,)
    both = data_in(tmp_path, channels=("nuclei", "membranes"))
    assert find_pairs(both, PairAxes("YX"))[0].target_channels == (0, 1)
    third = FileSet(source=("low",), target=("high",), source_channels=(2,), target_channels=(1,))
    assert_refused(data_in(tmp_path, third), "low/a.tif", "channel 2", "has 2")


def test_files_are_recorded_once_with_hash_and_licence(tmp_path):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif"])
    for name in "abc":
        save(tmp_path / "lower" / f"{name}.tif")
    sets = FileSet(source=("low", "lower"), target=("high",), license="CC0-1.0", origin="somewhere", name="cells")
    data = data_in(tmp_path, sets)
    records = record_files(parts_of(data), data.sets)
    assert len(records) == 9
    assert sorted(record.name for record in records)[:3] == ["high/a.tif", "high/b.tif", "high/c.tif"]
    assert {(record.dataset, record.license, record.origin) for record in records} == {
        ("cells", "CC0-1.0", "somewhere")
    }
    for record in records:
        assert (record.sha256, record.n_bytes) == hash_file(tmp_path / record.name)


def test_a_copy_under_another_name_in_another_part_is_refused(tmp_path):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif", "d.tif"])
    (tmp_path / "high" / "d.tif").write_bytes((tmp_path / "high" / "a.tif").read_bytes())
    split = Split(choose=("b.tif",), report=("d.tif",))
    data = data_in(tmp_path, FileSet(source=("low",), target=("high",), split=split))
    with pytest.raises(DataError, match=r"high/d\.tif \(report\) is a copy of .*high/a\.tif \(fit\)"):
        record_files(parts_of(data), data.sets)
    same_part = data_in(
        tmp_path, FileSet(source=("low",), target=("high",), split=Split(choose=("b.tif",), report=("c.tif",)))
    )
    assert len(record_files(parts_of(same_part), same_part.sets)) == 8


def test_a_folder_is_hashed_by_its_files(tmp_path):
    for name in ("one.zarr", "two.zarr"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0" / "chunk").write_bytes(b"pixels")
    assert hash_file(tmp_path / "one.zarr") == hash_file(tmp_path / "two.zarr")
    (tmp_path / "two.zarr" / "0" / "chunk").rename(tmp_path / "two.zarr" / "0" / "other")
    assert hash_file(tmp_path / "one.zarr")[0] != hash_file(tmp_path / "two.zarr")[0]


def test_a_file_that_no_part_names_is_told(tmp_path, caplog):
    make_pairs(tmp_path, ["a.tif", "b.tif", "c.tif", "d.tif"])
    split = Split(fit=("a.tif",), choose=("b.tif",), report=("c.tif",))
    with caplog.at_level(logging.INFO, logger="carezoo"):
        parts_of(data_in(tmp_path, FileSet(source=("low",), target=("high",), split=split)))
    assert "low/d.tif is left out" in caplog.text
