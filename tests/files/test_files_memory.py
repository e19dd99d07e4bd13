"""Memory does not grow with the number of planes, whatever way they are stored."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from carezoo.files.stored_pixels import DecodedCache

COPY = """
import itertools, resource, sys
import numpy as np, tifffile
from carezoo import files
from carezoo.files import tiff_pages
from carezoo.files.stored_pixels import DecodedCache

source, target, n_planes, compression = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] or None
tiff_pages.DECODED = DecodedCache(2**21)  # small, so that small files fill it
plane = np.random.default_rng(0).integers(0, 999, (512, 512), np.uint16)
with tifffile.TiffWriter(source, imagej=True) as writer:
    writer.write((plane for _ in range(n_planes)), shape=(n_planes, 512, 512), dtype="uint16",
                 metadata={"axes": "ZYX"}, compression=compression)
image = files.open_image(source)
with files.create_image(target, shape=image.shape, axes="ZYX", dtype="float32", like=image) as writing:
    tiles = [slice(a, a + 256) for a in range(0, 512, 256)]
    for z, y, x in itertools.product(range(0, n_planes, 4), tiles, tiles):
        region = (slice(z, z + 4), y, x)
        writing[region] = image.pixels[region].astype(np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder, n_planes, compression):
    finished = subprocess.run(
        [sys.executable, "-c", COPY, str(folder / "in.tif"), str(folder / "out.tif"), str(n_planes), compression],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(finished.stdout)


@pytest.mark.parametrize("compression", ["", "zlib"])
def test_peak_memory_of_a_copy_is_that_of_one_four_times_as_deep(tmp_path, compression):
    """96 planes are 48 MiB to read and 96 MiB to write."""
    pytest.importorskip("resource", reason="needs a system that measures peak memory")
    assert peak(tmp_path, 96, compression) <= 1.1 * peak(tmp_path, 24, compression)


def test_cache_keeps_what_was_used_last_and_never_more_than_it_may():
    cache = DecodedCache(most_bytes=1000)
    made = []

    def make(name):
        made.append(name)
        return np.full(300, len(made), np.uint8)

    for name in ["a", "b", "c", "a", "d", "a", "b"]:
        array = cache.get(name, lambda name=name: make(name))
        assert cache.n_bytes <= 1000
        assert not array.flags.writeable
    assert made == ["a", "b", "c", "d", "b"]  # d pushed out b, the one not used for longest
    assert cache.get("huge", lambda: np.zeros(2000, np.uint8)).size == 2000
    assert cache.n_bytes == 900
