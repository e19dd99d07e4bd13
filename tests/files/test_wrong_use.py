"""What is given as a file and is none, links that lead nowhere, damaged files of a set, names of other formats."""

import gc
import os

import numpy as np
import packages
import pytest
import tifffile
from test_sets_and_metadata import STACK, write_set

import carezoo
from carezoo import files
from carezoo.cli.main import run
from carezoo.errors import FileFormatError, InputError
from carezoo.files.listing import collect_images, images_in
from carezoo.package.write import write_package


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["pipe", "pipe.tif"])
def test_a_pipe_is_refused_and_nobody_waits(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for use in (files.open_image, lambda path: files.choose_scenes(path, "all")):
        with pytest.raises(InputError, match=rf"{name} is a pipe or a device; expected an image file"):
            use(tmp_path / name)
    assert collect_images([tmp_path / name]) == [tmp_path / name]
    files.write_image(tmp_path / "a.tif", STACK[0], axes="YX")
    assert images_in(tmp_path) == [tmp_path / "a.tif"]


def test_links_that_lead_nowhere_say_so(tmp_path):
    (tmp_path / "a.tif").symlink_to("b.tif")
    with pytest.raises(InputError, match=r"a\.tif is a link to b\.tif, which does not exist"):
        files.open_image(tmp_path / "a.tif")
    (tmp_path / "b.tif").symlink_to("a.tif")
    for use in (files.open_image, images_in):
        with pytest.raises(InputError, match=r"a\.tif is a link that leads back to itself"):
            use(tmp_path / "a.tif")
    assert collect_images([tmp_path / "a.tif"]) == [tmp_path / "a.tif"]  # whoever opens it says so


def test_a_loop_is_a_mistake_of_the_user(tmp_path, capsys):
    model = write_package(packages.denoise_2d(), tmp_path / "one.zip")
    (tmp_path / "a.tif").symlink_to("a.tif")
    assert run(["restore", str(tmp_path / "a.tif"), "-m", str(model)]) == InputError.exit_code
    said = capsys.readouterr().err
    assert "leads back to itself" in said
    assert "This is a bug" not in said


# tifffile does not close a file of a set in which it finds no TIFF.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["garbage", "empty", "missing", "page"])
def test_the_damaged_file_of_a_set_is_named(tmp_path, damage):
    folder = write_set(tmp_path / "set")
    victim = folder / "s2.ome.tif"
    whole = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    elif damage == "page":  # another size than the others
        with tifffile.TiffFile(victim) as tif:
            text = tif.pages.first.description
        tifffile.imwrite(victim, STACK[2, :5], description=text.encode(), metadata=None)
    else:
        victim.write_bytes(b"" if damage == "empty" else b"II*\0" + bytes(len(whole)))
    with pytest.raises(FileFormatError, match=r"s2\.ome\.tif"):
        files.open_image(folder / "s0.ome.tif").array()
    gc.collect()  # here, and not in the next test


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.mp4", "a.czi", "a.zarr", "a.h5"])
def test_results_in_other_formats_are_refused(tmp_path, name):
    model = carezoo.load(write_package(packages.denoise_2d(), tmp_path / "one.zip"))
    files.write_image(tmp_path / "in.tif", STACK[0].astype(np.float32), axes="YX")
    with pytest.raises(InputError, match=rf"{name} cannot be written: results are TIFF\. Give a name in \.tif"):
        model.restore_file(tmp_path / "in.tif", tmp_path / name)
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()
    if name != "a.zarr":  # a folder of that name is a folder
        assert model.restore_file(tmp_path / "in.tif", tmp_path / name).parent == tmp_path / name
