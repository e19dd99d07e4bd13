"""Memory that a training step frees is there for the next step."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from carezoo.train import loop


def page_faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(1 << 24, np.float32)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_is_kept_and_given_back_afterwards():
    outside = page_faults_of_a_step()
    with loop.keep_heap():
        page_faults_of_a_step()
        inside = page_faults_of_a_step()
    assert inside < outside / 10
    assert page_faults_of_a_step() > 10 * max(inside, 1)
