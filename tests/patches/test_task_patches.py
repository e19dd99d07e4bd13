"""Patches of pairs whose sides differ in planes: they show the same piece of the world."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tifffile

from carezoo.errors import DataError
from carezoo.pairs.find import find_pairs
from carezoo.pairs.intensity import Intensity, match, relate
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.split import PairParts
from carezoo.patches.files import Patches, PatchSize, prepare_patches
from carezoo.train.sections import Data

PLAIN = Intensity(mode="fixed", fit="none", range=(0.0, 1.0))


def found(folder, axes, source, target):
    for side, pixels in (("low", source), ("high", target)):
        (folder / side).mkdir()
        letters = "ZYX"[-pixels.ndim :]
        tifffile.imwrite(
            folder / side / "a.tif", pixels.astype(np.float32), photometric="minisblack", metadata={"axes": letters}
        )
    return find_pairs(Data(sets=(FileSet(source=("low",), target=("high",)),), folder=str(folder)), axes)


def sampler(pairs, axes, tmp_path, intensity=PLAIN, **settings):
    patches = Patches(background_threshold=settings.pop("threshold", 0.0), **settings)
    return prepare_patches(PairParts(pairs, pairs, ()), intensity, patches, tmp_path / "cache", 1, axes).fit


@pytest.mark.parametrize("factor", [Fraction(2), Fraction(5, 2), Fraction(51, 5)])
@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_upsampling_windows_begin_where_planes_begin_together(tmp_path, factor, threshold):
    """Every plane holds its own height: the first fine plane lies (1 - 1 / factor) / 2 below the first coarse one."""
    n_coarse, size = 4 * factor.denominator, factor.denominator
    fine = (np.arange(int(n_coarse * factor)) + 0.5) / float(factor) - 0.5
    fields = [np.broadcast_to(z[:, None, None], (len(z), 12, 16)) + 1 for z in (np.arange(n_coarse), fine)]
    axes = PairAxes("ZYX", factor=factor)
    drawn = sampler(found(tmp_path, axes, *fields), axes, tmp_path, threshold=threshold, flip="ZYX",
                    size=PatchSize(z=size, y=8, x=8))  # fmt: skip
    starts = set()
    for number in range(30):
        source, target = drawn.patch(number)
        assert (source.shape, target.shape) == ((1, size, 8, 8), (1, size * factor, 8, 8))
        up = -1 if target[0, 0, 0, 0] > target[0, -1, 0, 0] else 1
        np.testing.assert_allclose(target[0, 0] - source[0, 0], -up * (1 - 1 / float(factor)) / 2, atol=1e-5)
        starts.add(float(source.min()))
    assert len(starts) > 2


def test_a_projections_patch_is_the_place_of_its_stack_turned_alike(tmp_path):
    stack = np.random.default_rng(2).random((6, 20, 24))
    axes = PairAxes("ZYX", "YX")
    pairs = found(tmp_path, axes, stack, stack.max(axis=0))
    drawn = sampler(pairs, axes, tmp_path, flip="ZYX", size=PatchSize(z=6, y=8, x=8))
    for number in range(20):
        source, target = drawn.patch(number)
        assert (source.shape, target.shape) == ((1, 6, 8, 8), (1, 8, 8))
        np.testing.assert_array_equal(source.max(axis=1), target)
    with pytest.raises(DataError, match=r"has 6 planes, and patches\.size\.z is 4: the target shows all planes"):
        sampler(pairs, axes, tmp_path, size=PatchSize(z=4, y=8, x=8))


def test_statistics_are_drawn_from_background_too(tmp_path):
    image = np.zeros((40, 40))
    image[:4, :4] = 1.0
    axes = PairAxes("YX")
    drawn = sampler(found(tmp_path, axes, image, image), axes, tmp_path, threshold=0.4, size=PatchSize(y=8, x=8))
    assert (drawn.fixed_patches(16)[1].max(axis=(1, 2, 3)) > 0.9).all()
    assert (drawn.fixed_patches(16, is_anywhere=True)[1].max(axis=(1, 2, 3)) == 0).sum() > 8


@pytest.mark.parametrize("factor", [Fraction(3), Fraction(5, 2)])
def test_gain_and_offset_are_found_across_planes(tmp_path, factor):
    rng = np.random.default_rng(1)
    z = (np.arange(int(10 * factor)) + 0.5) / float(factor) - 0.5
    field = rng.random((8, 9))
    coarse, fine = (100 + 20 * at[:, None, None] + 50 * field for at in (np.arange(10), z))
    pairs = found(tmp_path, PairAxes("ZYX", factor=factor), coarse, 2 * fine + 7)
    relation = relate(pairs, "made", factor)
    assert relation.gain == pytest.approx(0.5, abs=1e-6)
    assert relation.offset == pytest.approx(-3.5, abs=1e-3)


def test_a_projection_is_not_fitted_to_its_stack(tmp_path):
    stack = np.random.default_rng(2).random((3, 8, 8))
    axes = PairAxes("ZYX", "YX")
    pairs = found(tmp_path, axes, stack, stack.max(axis=0))
    with pytest.raises(DataError, match=r"Use fit: none .* mode: own"):
        match(pairs, Intensity(), axes)
    assert match(pairs, Intensity(fit="none"), axes).relations["data1"].gain == 1


@pytest.mark.parametrize(
    ("axes", "source", "target", "words"),
    [
        (PairAxes("ZYX", factor=Fraction(5, 2)), (3, 8, 8), (8, 8, 8), "5/2 times its planes"),
        (PairAxes("ZYX", "YX"), (3, 8, 8), (3, 8, 8), "one plane with the pixels of its source"),
        (PairAxes("ZYX", "YX"), (3, 8, 8), (8, 9), "one plane with the pixels of its source"),
        (PairAxes("ZYX", "YX"), (8, 8), (8, 8), "expected an image with axes ZYX, found YX"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(tmp_path, axes, source, target, words):
    with pytest.raises(DataError, match=words):
        found(tmp_path, axes, np.ones(source), np.ones(target))
