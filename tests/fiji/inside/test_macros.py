"""The macros of `carezoo fiji install` in an ImageJ that was started by itself: Escape, a dead process, a full disk."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import packages
import psutil
import pytest

import carezoo
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo_fiji import install, java
from carezoo_fiji.images import to_image, to_imageplus
from carezoo_fiji.java import load

sys.path.insert(0, str(Path(__file__).parent))
import driver


@pytest.fixture(scope="module")
def imagej(tmp_path_factory):
    """Start ImageJ with the macros in its menu and without carezoo's listener; return its folder."""
    folder = tmp_path_factory.mktemp("ImageJ")
    (folder / "plugins").mkdir()
    (folder / "temp").mkdir()
    for path in install.install(folder, is_fiji=False, python=Path(sys.executable)):
        path.write_text(path.read_text().replace("silent > 600", "silent > 300"))  # 30 s of silence, not a minute
    java.start([java.find_jar()], headless=False)
    load("java.lang.System").setProperty("plugins.dir", str(folder))
    load("java.lang.System").setProperty("java.io.tmpdir", str(folder / "temp"))
    load("ij.ImageJ")(load("ij.ImageJ").STANDALONE).exitWhenQuitting(False)
    return folder


@pytest.fixture
def model(tmp_path):
    return write_package(packages.ensemble_2d(), tmp_path / "ensemble.zip")


@pytest.fixture
def run(imagej, model):
    """Return what runs the command in a thread of its own, on a series that takes many seconds."""
    array = np.tile(packages.picture((1, 64, 64)), (1000, 1, 1))
    to_imageplus(Image(array, "TYX"), "long").show()
    load("java.lang.System").clearProperty("carezoo.verdict")
    load("ij.IJ").log("\\Clear")

    def begin(tile="20"):
        options = f"model=denoise-bpae-2d package_file=[{model}] tile={tile}"
        return driver.Background(lambda: load("ij.IJ").run("CARE Restore...", options))

    yield begin
    driver.close_all()
    assert list((imagej / "temp").iterdir()) == []


def verdict():
    return str(load("java.lang.System").getProperty("carezoo.verdict") or "")


def workers():
    """Return the processes that answer macros in a folder below that of this ImageJ."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "carezoo_fiji.background" in words and "answer" in words:
            found.append(process)
    return found


def working(imagej):
    """Wait until a process restores and has told how far it is; return it."""

    def is_under_way():
        told = list((imagej / "temp").glob("carezoo-*/progress"))
        return workers() and told and float(told[0].read_text()) > 0

    driver.wait_for(is_under_way, "a process restores")
    return workers()[0]


def test_escape_stops_the_work_and_leaves_nothing(imagej, run):
    call = run()
    process = working(imagej)
    driver.escape(lambda: not call.thread.is_alive())
    call.join()
    assert verdict() == "CANCELLED"
    process.wait(timeout=driver.PATIENCE_S)
    driver.wait_for(lambda: not list((imagej / "temp").iterdir()), "the folder of the macro is removed")
    assert driver.titles() == ["long"]


def test_a_killed_process_is_told(imagej, run):
    call = run()
    working(imagej).kill()
    call.join()
    assert verdict().startswith("ERROR PythonError: carezoo does not answer any more")
    assert "CAREZOO ERROR PythonError" in str(load("ij.IJ").getLog())
    assert driver.titles() == ["long"]


def test_an_error_of_the_work_is_told(imagej, run):
    run(tile="big").join()
    assert verdict().startswith("ERROR InputError: tile 'big': expected auto, whole")


def test_a_python_that_moved_is_told(imagej, run):
    command = imagej / "plugins" / "CAREzoo" / "CARE_Restore....ijm"
    text = command.read_text()
    command.write_text(text.replace(sys.executable, "/nowhere/python"))
    try:
        run().join()
    finally:
        command.write_text(text)
    assert verdict().startswith("ERROR PythonError: carezoo did not answer. The Python it was installed with may have")
    assert "(/nowhere/python). Run carezoo fiji install again" in verdict()


def test_a_disk_without_room_for_the_image_is_told_before_anything_is_written(imagej, run, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.xfail("a small disk can be made by root only")
    system = load("java.lang.System")
    before = system.setProperty("java.io.tmpdir", str(disk))
    try:
        run().join()
        assert verdict().startswith("ERROR InputError: cannot write")
        assert "it needs 7.8 MiB, the disk has 1.0 MiB left" in verdict()
        assert list(disk.iterdir()) == []
    finally:
        system.setProperty("java.io.tmpdir", str(before))
        subprocess.run(["umount", disk], check=True)


def test_averages_of_frames(imagej, model):
    noisy = packages.picture((7, 40, 52)) + (40 * np.arange(7, dtype=np.uint16))[:, None, None]
    to_imageplus(Image(noisy, "TYX", metadata=Metadata(frame_interval_s=0.5)), "cells").show()
    load("ij.IJ").run("CARE Restore...", f"model=denoise-bpae-2d package_file=[{model}] average=3")
    assert verdict().startswith("OK restored cells with")
    found = driver.image("cells_restored")
    np.testing.assert_array_equal(to_image(found).array(), carezoo.load(model).restore(noisy, "TYX", average=3).mean)
    assert found.getCalibration().frameInterval == pytest.approx(1.5)
    assert "CAREzoo: cells: its last 1 of 7 frames fill no average of 3" in str(load("ij.IJ").getLog())
    driver.close_all()
    to_imageplus(Image(noisy, "TYX"), "cells").show()
    for options, told in (("average=x", "average=x: expected how many"), ("average=9", "has 7 frame(s)")):
        load("ij.IJ").run("CARE Restore...", f"model=denoise-bpae-2d package_file=[{model}] {options}")
        assert verdict().startswith("ERROR InputError: average")
        assert told in verdict()
    assert list((imagej / "temp").iterdir()) == []
    driver.close_all()


def test_a_folder_of_averages(imagej, model, tmp_path):
    noisy = packages.picture((4, 40, 52))
    (tmp_path / "in").mkdir()
    carezoo.write_image(tmp_path / "in" / "cells.tif", Image(noisy, "TYX"))
    options = f"input_folder=[{tmp_path / 'in'}] output_folder=[{tmp_path / 'out'}] package_file=[{model}] average=2"
    load("ij.IJ").run("CARE Restore Folder...", f"model=denoise-bpae-2d {options}")
    assert verdict().startswith("OK restored 1 files")
    found = carezoo.open_image(tmp_path / "out" / "cells_restored.tif").array()
    np.testing.assert_array_equal(found, carezoo.load(model).restore(noisy, "TYX", average=2).mean)


def test_the_result_is_what_python_restores(imagej, model):
    noisy = packages.picture((3, 40, 52))
    to_imageplus(Image(noisy, "TYX"), "cells").show()
    load("ij.IJ").run("CARE Restore...", f"model=denoise-bpae-2d package_file=[{model}]")
    assert verdict().startswith("OK restored cells with")
    found = to_image(driver.image("cells_restored")).array()
    np.testing.assert_array_equal(found, carezoo.load(model).restore(noisy, "TYX").mean)
    assert list((imagej / "temp").iterdir()) == []
    driver.close_all()
