from __future__ import annotations

import numpy as np
import pytest

from carezoo.errors import InputError
from carezoo.evaluate.segmentation import compare, segment


def disks(centres, size=96, radius=8, height=100.0):
    rows, columns = np.indices((size, size))
    image = np.random.default_rng(0).normal(10, 1, (size, size))
    for y, x in centres:
        image[np.hypot(rows - y, columns - x) < radius] += height
    return image


CENTRES = [(20, 20), (20, 70), (60, 30), (70, 75)]


def test_objects_are_found_and_touching_ones_are_parted():
    assert segment(disks(CENTRES), 16).max() == 4
    assert segment(disks([(40, 40), (40, 54)]), 16).max() == 2
    assert segment(disks([(20, 20)]) + disks([(70, 70)], radius=2), 16).max() == 1  # too small


def test_balls_in_a_volume():
    z, y, x = np.indices((32, 48, 48))
    image = np.random.default_rng(0).normal(10, 1, z.shape)
    for centre in ((10, 12, 12), (20, 34, 34)):
        image[np.sqrt(sum((a - c) ** 2 for a, c in zip((z, y, x), centre, strict=True))) < 6] += 50
    assert segment(image, 12).max() == 2


def test_scores_worked_out_by_hand():
    true = np.zeros((4, 10), int)
    true[:, 0:4], true[:, 6:9] = 1, 2  # 16 and 12 pixels
    found = np.zeros((4, 10), int)
    found[:, 1:5] = 1  # 12 of 20 pixels shared with object 1
    found[:, 9:10] = 2  # invented
    scores = compare(found.astype(np.int32), true.astype(np.int32))
    assert scores.seg == pytest.approx((12 / 20 + 0) / 2)
    assert scores.wrong_fraction == pytest.approx(1 - 1 / 3)  # one pair, one missed, one invented
    assert (scores.n_objects, scores.n_objects_target) == (2, 2)


def test_an_object_needs_more_than_half_of_the_true_one():
    true = np.zeros((1, 8), np.int32)
    true[:, :8] = 1
    halves = np.repeat([[1, 2]], 4, axis=1).reshape(1, 8)
    halves = np.sort(halves, axis=1).astype(np.int32)
    assert compare(halves, true).seg == 0


def test_itself_and_nothing():
    labels = segment(disks(CENTRES), 16)
    nothing = np.zeros_like(labels)
    same = compare(labels, labels)
    assert (same.seg, same.wrong_fraction) == (1, 0)
    assert (compare(nothing, labels).seg, compare(nothing, labels).wrong_fraction) == (0, 1)
    assert (compare(nothing, nothing).seg, compare(nothing, nothing).wrong_fraction) == (1, 0)
    assert segment(np.full((32, 32), 7), 10).max() == 0


def test_mistakes():
    with pytest.raises(InputError, match="at least 3 pixels; found 1"):
        segment(disks(CENTRES), 1)
    with pytest.raises(InputError, match="one shape"):
        compare(np.zeros((2, 2), np.int32), np.zeros((2, 3), np.int32))
