"""Large planes: chunks are decoded where the format has them, and whole planes once a pass; counted in bytes."""

import numpy as np
import packages
import pytest
import tifffile

import carezoo
from carezoo import files
from carezoo.files import formats, stored_pixels, tiff_pages
from carezoo.files.stored_pixels import ChunkedPixels, DecodedCache
from carezoo.files.tiff_pages import EncodedPages
from carezoo.package.write import write_package

BLOBS = np.tile(packages.picture((2, 128, 128), seed=1), (1, 8, 8))
PLANES = np.random.default_rng(1).poisson(BLOBS).astype(np.uint16)


@pytest.fixture
def decoded(monkeypatch):
    """Return the bytes decoded so far, one entry a time; the cache holds a quarter of a plane."""
    cache = DecodedCache(PLANES[0].nbytes // 4)
    for module in (stored_pixels, tiff_pages):
        monkeypatch.setattr(module, "DECODED", cache)
    sizes = []

    def count(original):
        def counted(*where):
            found = original(*where)
            sizes.append(found.nbytes)
            return found

        return counted

    monkeypatch.setattr(EncodedPages, "_decode_segment", count(EncodedPages._decode_segment))
    monkeypatch.setattr(formats, "_read_region", count(formats._read_region))
    return sizes


@pytest.fixture
def model(tmp_path):
    return carezoo.load(write_package(packages.denoise_2d(), tmp_path / "one.zip"))


def test_a_plane_of_one_strip_is_decoded_once_a_pass(tmp_path, decoded, model):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES, compression="zlib", rowsperstrip=1024, metadata=None)
    model.restore_file(path, axes="TYX", tile=256)
    n_passes = len(decoded) / len(PLANES)
    assert n_passes == int(n_passes) <= 3  # statistics, likeness, network


@pytest.mark.parametrize("region", [np.s_[1, 0:128, 0:128], np.s_[0, 128:512, 256:640], np.s_[1, 500:640, 380:520]])
def test_bytes_decoded_of_tiles(tmp_path, decoded, region):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES, compression="zlib", tile=(128, 128), metadata=None)
    assert np.array_equal(files.open_image(path, "TYX").pixels[region], PLANES[region])
    assert sum(decoded) <= needed(region, 128)


@pytest.mark.parametrize("region", [np.s_[1, 0:128, 0:128], np.s_[0, 128:512, 256:640], np.s_[1, 500:640, 380:520]])
@pytest.mark.parametrize("n_deep", [1, 2])
def test_bytes_decoded_of_chunks(decoded, region, n_deep):
    def read(where):
        return formats._read_region(PLANES.__getitem__, "a", "", where)

    pixels = ChunkedPixels(read, PLANES.shape, (0, 1, 2), PLANES.dtype, (n_deep, 128, 128))
    assert np.array_equal(pixels[region], PLANES[region])
    assert sum(decoded) <= n_deep * needed(region, 128)
    before = len(decoded)
    pixels[(1 - region[0] if n_deep == 2 else region[0], *region[1:])]
    assert len(decoded) == before or sum(decoded[:before]) > PLANES[0].nbytes // 4


def needed(region, step):
    """Return the bytes of the chunks that a region touches."""
    touched = [-(-bound.stop // step) - bound.start // step for bound in region[1:]]
    return touched[0] * touched[1] * step * step * PLANES.itemsize


def test_a_crop_of_ome_zarr_decodes_its_chunks_alone(tmp_path, decoded, model):
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    zarr.create_array(str(tmp_path / "a.zarr"), data=PLANES, chunks=(1, 128, 128))
    image = files.open_image(tmp_path / "a.zarr", "TYX")
    crop = image.crop({"T": slice(0, 1), "Y": slice(128, 384), "X": slice(0, 256)})
    model.restore(crop)
    assert sum(decoded) <= 1.5 * 256 * 256 * 2
