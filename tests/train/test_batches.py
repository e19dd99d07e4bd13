from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from carezoo.pairs.find import find_pairs
from carezoo.pairs.intensity import Intensity
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.split import split_pairs
from carezoo.patches.files import Patches, PatchSampler, PatchSize, prepare_patches
from carezoo.train.batches import default_workers, draw_batches
from carezoo.train.sections import Data


@pytest.fixture(scope="module")
def sampler(tmp_path_factory) -> PatchSampler:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for side in ("low", "high"):
        (folder / side).mkdir()
    for number in range(4):
        clean = rng.gamma(0.5, 100, (48, 48)).astype(np.float32)
        tifffile.imwrite(folder / "high" / f"{number}.tif", clean, compression="zlib")
        tifffile.imwrite(folder / "low" / f"{number}.tif", rng.poisson(clean).astype(np.uint16))
    data = Data(sets=(FileSet(source=("low",), target=("high",), axes="YX"),), folder=str(folder))
    parts = split_pairs(find_pairs(data, PairAxes("YX")), data.sets, seed=1)
    patches = Patches(size=PatchSize(y=16, x=16))
    return prepare_patches(parts, Intensity(percentile_jitter=True), patches, folder / "cache", seed=1).fit


def test_workers_change_nothing(sampler):
    alone = list(draw_batches(sampler, range(6), 4))
    helped = list(draw_batches(sampler, range(6), 4, n_workers=2))
    assert len(alone) == len(helped) == 6
    for mine, theirs in zip(alone, helped, strict=True):
        for tensor, other in zip(mine, theirs, strict=True):
            assert tensor.shape == (4, 1, 16, 16)
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, other)
    assert not torch.equal(alone[0][0], alone[1][0])


def test_a_resumed_training_gets_the_batches_it_would_have_got(sampler):
    whole = list(draw_batches(sampler, range(8), 3))
    rest = list(draw_batches(sampler, range(5, 8), 3))
    for mine, theirs in zip(whole[5:], rest, strict=True):
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])


def test_processes_share_the_patches_of_a_step(sampler):
    together = list(draw_batches(sampler, range(3), 4))
    ranks = [list(draw_batches(sampler, range(3), 2, rank=rank, n_ranks=2)) for rank in range(2)]
    for step in range(3):
        assert torch.equal(together[step][0], torch.cat([ranks[0][step][0], ranks[1][step][0]]))


def test_workers_are_for_gpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 32)
    assert default_workers("cpu") == 0
    assert default_workers("cuda") == 4
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert default_workers("cuda") == 1
