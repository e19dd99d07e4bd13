from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.pairs.cache import RawPixels, make_raw, read
from carezoo.pairs.find import Pair, find_pairs
from carezoo.pairs.intensity import Intensity
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.split import PairParts
from carezoo.patches.files import Patches, PatchSampler, PatchSize, augment, prepare_patches
from carezoo.patches.foreground import find_foreground_starts, measure_bright_limits
from carezoo.train.sections import Data

IDENTITY = Intensity(mode="fixed", range=(0.0, 1.0), fit="none")
"""Patches keep the values of the files, up to EPS."""


def save(path: Path, pixels: NDArray, axes: str, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes}, **options)


def saved_pairs(
    folder: Path, sources: list[NDArray], targets: list[NDArray], axes: str, target_axes: str | None = None, **options
) -> tuple[Pair, ...]:
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        save(folder / "low" / f"{number}.tif", source, axes, **options)
        save(folder / "high" / f"{number}.tif", target, target_axes or axes, **options)
    n_channels = sources[0].shape[axes.index("C")] if "C" in axes else 1
    data = Data(
        sets=(FileSet(source=("low",), target=("high",)),),
        folder=str(folder),
        channels=tuple(f"channel {i}" for i in range(n_channels)),
    )
    return find_pairs(data, PairAxes("ZYX" if "Z" in axes else "YX"))


def numbered(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Return an image whose pixel values tell where they are."""
    return (np.arange(np.prod(shape)) + 1e5 * seed + 1).reshape(shape).astype(np.float32)


def sampler_of(pairs, tmp_path, patches: Patches, intensity: Intensity = IDENTITY, seed: int = 1) -> PatchSampler:
    return prepare_patches(PairParts(pairs, pairs, ()), intensity, patches, tmp_path / "cache", seed).fit


def plain(y: int, x: int, z: int | None = None, **options) -> Patches:
    return Patches(size=PatchSize(y=y, x=x, z=z), **{"background_threshold": 0, "flip": "", "rotate": False, **options})


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("axes", "shape", "size"),
    [
        ("YX", (40, 50), {"y": 16, "x": 8}),
        ("ZYX", (10, 20, 30), {"z": 4, "y": 8, "x": 16}),
        ("ZCYX", (6, 2, 20, 30), {"z": 4, "y": 8, "x": 16}),
        ("TYX", (5, 20, 30), {"y": 8, "x": 16}),
        ("ZYX", (5, 20, 30), {"y": 8, "x": 16}),
        ("TZCYX", (3, 6, 2, 20, 30), {"z": 2, "y": 8, "x": 8}),
    ],
)
def test_patches_are_slices_of_the_images(tmp_path, axes, shape, size, compression):
    sources = [numbered(shape, seed) for seed in (0, 1)]
    targets = [-source for source in sources]
    pairs = saved_pairs(tmp_path, sources, targets, axes, compression=compression)
    sampler = sampler_of(pairs, tmp_path, plain(**size))
    by_letter = {"C": "C", **{letter.upper(): letter for letter in size}}
    wanted = "".join(letter for letter in "CZYX" if letter in by_letter)
    lengths = dict(zip(axes, shape, strict=True))
    seen = Counter()
    for number in range(60):
        source, target = sampler.patch(number)
        assert source.dtype == target.dtype == np.float32
        assert source.shape == tuple(lengths.get("C", 1) if c == "C" else size[by_letter[c]] for c in wanted)
        np.testing.assert_array_equal(target, -source)
        # The value of the first pixel tells where the patch comes from.
        file = int(source.flat[0] > 1e5)
        first = np.argwhere(sources[file] == source.flat[0].round())
        assert len(first) == 1
        place = dict(zip(axes, first[0].tolist(), strict=True))
        key = tuple(
            slice(None) if c == "C" else slice(place[c], place[c] + size[by_letter[c]]) if c in by_letter else place[c]
            for c in axes
        )
        order = [letter for letter in axes if letter in wanted]
        expected = sources[file][key].transpose([order.index(letter) for letter in wanted if letter in order])
        np.testing.assert_allclose(source, expected.reshape(source.shape), rtol=2e-6)
        seen[file] += 1
    assert seen == {0: 30, 1: 30}


def test_one_target_serves_all_frames(tmp_path):
    target = numbered((20, 30))
    source = np.stack([target + 1000 * t for t in range(5)])
    sampler = sampler_of(saved_pairs(tmp_path, [source], [target], "TYX", "YX"), tmp_path, plain(8, 8))
    frames = Counter()
    for number in range(200):
        low, high = sampler.patch(number)
        differences = np.unique((low - high).round())
        assert len(differences) == 1
        frames[int(differences[0])] += 1
    assert set(frames) == {0, 1000, 2000, 3000, 4000}


def test_channels_are_chosen(tmp_path):
    source, target = numbered((3, 20, 30)), numbered((2, 20, 30))
    save(tmp_path / "low" / "0.tif", source, "CYX")
    save(tmp_path / "high" / "0.tif", target, "CYX")
    one = FileSet(source=("low",), target=("high",), source_channels=(2, 0), target_channels=(1, 0))
    pairs = find_pairs(Data(sets=(one,), folder=str(tmp_path), channels=("a", "b")), PairAxes("YX"))
    low, high = sampler_of(pairs, tmp_path, plain(20, 30)).patch(0)
    np.testing.assert_allclose(low, source[[2, 0]], rtol=2e-6)
    np.testing.assert_allclose(high, target[[1, 0]], rtol=2e-6)


def test_patches_are_normalized_with_the_range_of_their_file(tmp_path):
    rng = np.random.default_rng(3)
    targets = [rng.gamma(2, 100 * (i + 1), (64, 64)).astype(np.float32) for i in range(2)]
    pairs = saved_pairs(tmp_path, [0.5 * target + 9 for target in targets], targets, "YX")
    sampler = sampler_of(pairs, tmp_path, plain(64, 64), Intensity())
    for number in range(4):
        source, target = sampler.patch(number)
        low, high = np.percentile(source, (2, 99.8))
        assert (low, high) == pytest.approx((0, 1), abs=1e-5)
        np.testing.assert_allclose(source, target, atol=2e-5)


def test_percentiles_are_drawn_for_each_patch_but_not_for_fixed_ones(tmp_path):
    rng = np.random.default_rng(3)
    target = rng.gamma(2, 100, (256, 256)).astype(np.float32)
    pairs = saved_pairs(tmp_path, [target], [target], "YX")
    sampler = sampler_of(pairs, tmp_path, plain(256, 256), Intensity(percentile_jitter=True))
    zero_at = [float(np.mean(sampler.patch(number)[0] < 0) * 100) for number in range(300)]
    one_at = [float(np.mean(sampler.patch(number)[0] < 1) * 100) for number in range(300)]
    assert 1.0 <= min(zero_at) < 1.1
    assert 2.9 < max(zero_at) <= 3.0
    assert 99.49 <= min(one_at) < 99.52
    assert 99.88 < max(one_at) <= 99.91
    assert np.mean(sampler.fixed_patches(1)[0] < 0) * 100 == pytest.approx(2, abs=0.01)


@given(
    st.lists(st.integers(5, 17), min_size=2, max_size=3),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_foreground_is_csbdeeps_rule_in_any_channel(tmp_path_factory, shape, n_channels, seed, data):
    size = {letter: data.draw(st.integers(1, n)) for letter, n in zip("ZYX"[-len(shape) :], shape, strict=True)}
    axes = "".join(size)
    pixels = np.random.default_rng(seed).gamma(0.3, 1.0, (n_channels, *shape))
    image = Image(np.moveaxis(pixels, 0, 1) if "Z" in axes else pixels, "ZCYX" if "Z" in axes else "CYX")
    limits = measure_bright_limits(image, range(n_channels), 0.4, 99.9)
    path = tmp_path_factory.mktemp("starts") / "a.starts"
    starts = find_foreground_starts(image, range(n_channels), size, limits, path)
    # Every window of half the patch about the centre, as SciPy sees it.
    eligible = np.zeros(shape, bool)
    for channel in pixels:
        half = [max(1, n // 2) for n in size.values()]
        eligible |= maximum_filter(channel, half, mode="constant") > 0.4 * np.percentile(channel, 99.9)
    inside = tuple(slice(n // 2, n // 2 + length - n + 1) for n, length in zip(size.values(), shape, strict=True))
    expected = {tuple(map(int, place)) for place in np.argwhere(eligible[inside])}
    found = [starts.place(k) for k in range(starts.n)]
    assert [tuple(place[letter] for letter in axes) for place in found] == sorted(expected)
    path.unlink()


def test_samples_and_frames_have_their_own_foreground(tmp_path):
    target = np.zeros((2, 3, 16, 16), np.float32)
    target[0, 1, 8, 8] = 1
    target[1] = 100  # background, by the measure of this sample
    target[1, 2, 4, 4] = 1000
    image = Image(target, "STYX")
    limits = measure_bright_limits(image, (0,), 0.4, 100)
    starts = find_foreground_starts(image, (0,), {"Y": 1, "X": 1}, limits, tmp_path / "a.starts")
    places = [starts.place(k) for k in range(starts.n)]
    assert [tuple(place.values()) for place in places] == [(0, 1, 0, 8, 8), (1, 2, 0, 4, 4)]


def test_every_eligible_place_is_equally_likely(tmp_path):
    target = np.zeros((12, 20), np.float32)
    target[3:6, 4:9] = 1
    target[9, 15] = 1
    source = numbered((12, 20))
    pairs = saved_pairs(tmp_path, [source], [target], "YX")
    sampler = sampler_of(pairs, tmp_path, plain(1, 1, background_threshold=0.4))
    n = 16 * 100
    counts = Counter(float(sampler.patch(number)[0].item()) for number in range(n))
    assert len(counts) == 16
    chi_squared = sum((count - n / 16) ** 2 / (n / 16) for count in counts.values())
    assert chi_squared < 37.7  # 15 degrees of freedom, 1 in 1000


def test_small_and_large_files_have_the_same_turn(tmp_path):
    sources = [numbered((16, 16), 0), numbered((64, 64), 1), numbered((16, 32), 2)]
    sampler = sampler_of(saved_pairs(tmp_path, sources, sources, "YX"), tmp_path, plain(8, 8))
    files = [int(sampler.patch(number)[0].flat[0] // 1e5) for number in range(300)]
    assert Counter(files) == {0: 100, 1: 100, 2: 100}
    assert len({tuple(files[i : i + 3]) for i in range(0, 300, 3)}) == 6


def test_a_patch_follows_from_seed_and_number_alone(tmp_path):
    rng = np.random.default_rng(5)
    images = [rng.gamma(0.5, 100, (48, 48)).astype(np.float32) for _ in range(3)]
    pairs = saved_pairs(tmp_path, images, images, "YX", compression="zlib")
    options = Patches(size=PatchSize(y=16, x=16))
    sampler = sampler_of(pairs, tmp_path, options, Intensity(percentile_jitter=True))
    whole = [sampler.patch(number) for number in range(20)]
    again = sampler_of(pairs, tmp_path / "elsewhere", options, Intensity(percentile_jitter=True))
    for number in (19, 7, 0):  # resumed, and in any order
        for mine, yours in zip(whole[number], pickle.loads(pickle.dumps(again)).patch(number), strict=True):
            np.testing.assert_array_equal(mine, yours)
    other = dataclasses.replace(sampler, seed=2)
    assert not any(np.array_equal(whole[number][0], other.patch(number)[0]) for number in range(20))
    assert not np.array_equal(whole[0][0], whole[3][0])


def test_fixed_patches_are_fixed_plain_and_spread(tmp_path):
    sources = [numbered((32, 32), seed) for seed in range(3)]
    pairs = saved_pairs(tmp_path, sources, sources, "YX")
    sampler = sampler_of(pairs, tmp_path, Patches(size=PatchSize(y=16, x=16), background_threshold=0))
    source, target = sampler.fixed_patches(7)
    assert source.shape == (7, 1, 16, 16)
    np.testing.assert_array_equal(source, target)
    assert [int(patch.flat[0] // 1e5) for patch in source] == [0, 1, 2, 0, 1, 2, 0]
    assert (np.diff(source, axis=-1) > 0).all()
    np.testing.assert_array_equal(source[:5], sampler.fixed_patches(5)[0])


def test_mirrors_and_turns_reach_all_eight_orientations():
    patch = numbered((1, 4, 4))
    options = Patches(size=PatchSize(y=4, x=4))
    rng = np.random.default_rng(1)
    seen = Counter()
    for _ in range(800):
        source, target = augment(patch, -patch, options, rng)
        np.testing.assert_array_equal(source, -target)
        seen[source.tobytes()] += 1
    assert len(seen) == 8
    assert min(seen.values()) > 60


def test_augmentation_keeps_to_what_is_allowed():
    volume = numbered((1, 2, 4, 6))
    rng = np.random.default_rng(1)

    def orientations(**options) -> set[bytes]:
        chosen = Patches(size=PatchSize(z=2, y=4, x=6), **options)
        return {augment(volume, volume, chosen, rng)[0].tobytes() for _ in range(300)}

    assert orientations(flip="") == {volume.tobytes()}
    assert orientations(flip="Z") == {volume.tobytes(), volume[:, ::-1].tobytes()}
    # Oblong patches are never turned, and Z stays unless it is asked for.
    assert orientations() == {volume[:, :, ::y, ::x].tobytes() for y in (1, -1) for x in (1, -1)}
    square = numbered((1, 3, 4, 4))
    turned = Patches(size=PatchSize(z=3, y=4, x=4))
    for _ in range(50):
        result = augment(square, square, turned, rng)[0]
        assert (result[0].reshape(3, -1).min(axis=1) == square[0].reshape(3, -1).min(axis=1)).all()


def test_uncompressed_files_are_mapped_and_others_decoded_once(tmp_path, caplog):
    pixels = [np.random.default_rng(i).integers(0, 60000, (3, 2, 20, 30)).astype(np.uint16) for i in range(2)]
    save(tmp_path / "low" / "0.tif", pixels[0], "ZCYX", byteorder=">")
    save(tmp_path / "high" / "0.tif", pixels[1], "ZCYX", compression="zlib")
    data = Data(sets=(FileSet(source=("low",), target=("high",)),), folder=str(tmp_path), channels=("a", "b"))
    pairs = find_pairs(data, PairAxes("ZYX"))
    cache = tmp_path / "cache"
    with caplog.at_level(logging.INFO, logger="carezoo"):
        (raw,) = make_raw(pairs, cache)
        (again,) = make_raw(pairs, cache)
    assert caplog.text.count("decoding") == 1
    assert isinstance(raw.source.pixels, RawPixels)
    assert raw.source.pixels.path == (tmp_path / "low" / "0.tif").resolve()
    assert raw.source.pixels.dtype == np.dtype(">u2")
    assert [path.suffix for path in cache.iterdir()] == [".raw"]
    for image, expected in ((raw.source, pixels[0]), (raw.target, pixels[1]), (again.target, pixels[1])):
        np.testing.assert_array_equal(read(image, {}), expected.transpose(1, 0, 2, 3))
    # A changed file is decoded anew.
    save(tmp_path / "high" / "0.tif", pixels[0][:, :, ::-1], "ZCYX", compression="zlib")
    (changed,) = make_raw(find_pairs(data, PairAxes("ZYX")), cache)
    np.testing.assert_array_equal(read(changed.target, {}), pixels[0][:, :, ::-1].transpose(1, 0, 2, 3))


def test_averages_are_decoded_each_into_a_place_of_its_own(tmp_path):
    frames = np.random.default_rng(0).integers(0, 60000, (10, 20, 30)).astype(np.uint16)
    save(tmp_path / "low" / "0.tif", frames, "TYX")
    save(tmp_path / "high" / "0.tif", frames[0], "YX")
    for n in (6, 9):  # one average each
        sets = FileSet(source=("low",), target=("high",), average=n)
        data = Data(sets=(sets,), folder=str(tmp_path))
        (raw,) = make_raw(find_pairs(data, PairAxes("YX")), tmp_path / "cache")
        assert isinstance(raw.source.pixels, RawPixels)
        np.testing.assert_allclose(read(raw.source, {})[0, 0], frames[:n].mean(0), rtol=1e-6)


def test_a_full_disk_is_told_before_anything_is_decoded(tmp_path, monkeypatch):
    pixels = np.zeros((64, 64), np.float32)
    pairs = saved_pairs(tmp_path, [pixels], [pixels], "YX", compression="zlib")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * 64 * 64 * 4 - 1))
    with pytest.raises(DataError, match=r"GiB decoded, but .*cache has .* GiB free; .*uncompressed TIFF"):
        make_raw(pairs, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_patch_larger_than_an_image_names_both(tmp_path):
    pixels = np.zeros((40, 100), np.float32)
    pairs = saved_pairs(tmp_path, [pixels], [pixels], "YX")
    with pytest.raises(
        DataError,
        match=r"low/0\.tif is smaller than a patch along Y: it has Y 40 x X 100, patches\.size is Y 64 x X 64",
    ):
        sampler_of(pairs, tmp_path, plain(64, 64))
    assert not (tmp_path / "cache").exists()


def test_background_alone_says_what_to_change(tmp_path, caplog):
    empty, full = np.zeros((40, 40), np.float32), numbered((40, 40))
    options = plain(16, 16, background_threshold=0.4)
    pairs = saved_pairs(tmp_path / "none", [full], [empty], "YX")
    with pytest.raises(
        DataError,
        match=r"all of the 1 images, such as .*high/0\.tif, are background: .*above 0\.4.*background_threshold",
    ):
        sampler_of(pairs, tmp_path, options)
    pairs = saved_pairs(tmp_path / "one", [full, full], [full, empty], "YX")
    with caplog.at_level(logging.WARNING, logger="carezoo"):
        sampler = sampler_of(pairs, tmp_path, options)
    assert "low/1.tif: no patch is drawn" in caplog.text
    assert len(sampler.prepared) == 1


BOUNDED = """
import json, sys
from pathlib import Path
from carezoo.pairs.find import find_pairs
from carezoo.pairs.intensity import Intensity
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.split import PairParts
from carezoo.patches.files import Patches, PatchSize, prepare_patches
from carezoo.train.sections import Data

def peak_kib():
    # Not getrusage, whose peak starts at that of the process that started this one.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])

folder = Path(sys.argv[1])
pairs = find_pairs(Data(sets=(FileSet(source=("low",), target=("high",)),), folder=str(folder)), PairAxes("ZYX"))
before = peak_kib()
patches = Patches(size=PatchSize(z=16, y=64, x=64))
sampler = prepare_patches(PairParts(pairs, pairs, ()), Intensity(), patches, folder / "cache", 1).fit
for number in range(200):
    sampler.patch(number)
print(json.dumps([before, peak_kib()]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_data(tmp_path):
    plane = np.random.default_rng(1).gamma(0.5, 1000, (512, 512)).clip(0, 60000).astype(np.uint16)
    volume = np.broadcast_to(plane, (128, 512, 512))
    save(tmp_path / "low" / "0.tif", volume, "ZYX")
    save(tmp_path / "high" / "0.tif", volume, "ZYX")
    done = subprocess.run([sys.executable, "-c", BOUNDED, str(tmp_path)], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert 2 * volume.nbytes > 130e6
    assert (after - before) * 1024 < 40e6
