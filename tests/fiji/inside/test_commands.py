"""carezoo's commands in a real ImageJ with windows: menu, macros, Recorder, Escape, dialogs, results."""

import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jpype
import numpy as np
import packages
import pytest

import carezoo
import carezoo_fiji
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo_fiji import commands, windows
from carezoo_fiji.images import to_image, to_imageplus
from carezoo_fiji.java import find_jar, load

sys.path.insert(0, str(Path(__file__).parent))
import driver

ROOT = Path(__file__).parents[3]
MODEL = "denoise-bpae-2d"
REFERENCE = carezoo.load(MODEL).manifest.reference


@pytest.fixture(scope="module")
def session():
    started = carezoo_fiji.start(imagej_jar=find_jar())
    yield started
    driver.close_all()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return packages by name, written once."""
    cache = {}

    def get(name):
        if name not in cache:
            path = tmp_path_factory.mktemp(name) / f"{name}.zip"
            cache[name] = str(write_package(getattr(packages, name)(), path))
        return cache[name]

    return get


@pytest.fixture(autouse=True)
def _clean_screen(session):
    load("java.lang.System").clearProperty("carezoo.verdict")
    load("ij.IJ").log("\\Clear")
    yield
    for window in driver.windows("java.awt.Dialog"):
        window.dispose()
    driver.close_all()


@pytest.fixture
def demo(session):
    return session.open(ROOT / "zoo" / "demo" / "noisy.tif")


@pytest.fixture
def noisy(session):
    image = carezoo.open_image(ROOT / "zoo" / "demo" / "noisy.tif")
    imp = to_imageplus(image.crop({"Y": slice(100, 260), "X": slice(100, 300)}), "noisy.tif")
    session.show_window(imp)
    return imp


def log():
    return str(load("ij.IJ").getLog() or "")


def show(session, array, axes, title="cells", **fields):
    imp = to_imageplus(Image(array, axes, **fields), title)
    imp.show()
    return imp


def test_commands_appear_within_three_seconds():
    started = time.thread_time()  # not the clock on the wall: others may keep the machine busy
    session = carezoo_fiji.attach()
    assert time.thread_time() - started < 3
    labels = {str(label) for label in load("ij.Menus").getCommands().keySet()}
    assert {command.label for command in commands.COMMANDS} <= labels
    session.close()


def test_by_mouse_with_the_recorder(session, demo):
    """Menu, dialog, OK; the Recorder writes the macro, and the macro makes the same pixels."""
    noisy = demo
    before = to_image(noisy).array().copy()
    load("ij.IJ").run("Record...")
    recorder = driver.wait_for(lambda: load("ij.plugin.frame.Recorder").getInstance(), "the Recorder opens")
    driver.image("noisy.tif")
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    driver.click_menu(0)
    dialog = driver.dialog("CARE Restore")
    driver.shot("dialog", dialog)
    driver.press(dialog, "OK")
    restored = driver.image("noisy_restored")
    driver.wait_for(lambda: session.verdict, "the command ends")
    assert session.verdict == f"OK restored noisy.tif with {REFERENCE}"
    driver.wait_for(lambda: "CARE Restore" in str(recorder.getText()), "the command is recorded")
    recorded = str(recorder.getText())
    recorder.close()
    line = next(line for line in recorded.splitlines() if "CARE Restore" in line)
    assert line.startswith('run("CARE Restore...", "model=denoise-bpae-2d ')
    assert "region=[whole image]" in line
    assert "show_uncertainty" in line
    expected = carezoo.load(MODEL).restore(before, "YX")
    np.testing.assert_array_equal(to_image(restored).array(), expected.mean)
    np.testing.assert_array_equal(to_image(driver.image("noisy_scale")).array(), expected.scale)
    np.testing.assert_array_equal(to_image(noisy).array(), before)
    driver.settle(restored.getWindow())
    driver.shot("restored")
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    assert session.run_macro(line + "\nreturn getTitle();") == "noisy_restored-1"
    np.testing.assert_array_equal(to_image(driver.image("noisy_restored-1")).array(), expected.mean)


def test_a_cancelled_dialog_does_nothing(session, noisy):
    driver.click_menu(0)
    driver.press(driver.dialog("CARE Restore"), "Cancel")
    driver.wait_for(lambda: session.verdict, "the command ends")
    assert session.verdict == "CANCELLED"
    assert driver.titles() == ["noisy.tif"]


def test_the_preview_shows_the_selection_before_and_after(session, noisy):
    noisy.setRoi(20, 10, 150, 120)
    driver.click_menu(0)
    dialog = driver.dialog("CARE Restore")
    driver.press(dialog, "Preview")
    preview = driver.wait_for(lambda: session.preview, "the preview opens")
    assert (preview.getWidth(), preview.getHeight()) == (304, 120)
    crop = to_image(noisy).array()[10:130, 20:170]
    shown = to_image(preview).array()
    np.testing.assert_array_equal(shown[:, :150], crop)
    np.testing.assert_array_equal(shown[:, -150:], carezoo.load(MODEL).restore(crop, "YX").mean)
    driver.settle(preview.getWindow())
    driver.shot("preview")
    driver.press(dialog, "Cancel")
    driver.wait_for(lambda: session.preview is None, "the preview closes")


def test_results_are_calibrated_named_and_noted(session, made):
    ramp = np.arange(256, dtype=np.uint8)
    luts = (np.stack([ramp, 0 * ramp, ramp]), np.stack([0 * ramp, ramp, 0 * ramp]))
    array = packages.picture((2, 3, 2, 24, 30))
    metadata = Metadata(("nuclei", "actin"), 2.5, {"X": 1.0}, luts, ((0.0, 9.0), (1.0, 8.0)), "composite")
    size_um = {"Z": 0.3, "Y": 0.1, "X": 0.1}
    source = show(session, array, "TZCYX", "cells.tif", pixel_size_um=size_um, metadata=metadata)
    source.setOverlay(load("ij.gui.Roi")(2, 3, 4, 5), load("java.awt.Color").RED, 1, None)
    source.setRoi(4, 6, 20, 16)
    options = f"model={MODEL} package_file={made('probabilistic_2d')} region=selection show_uncertainty"
    assert session.run("CARE Restore...", options).startswith("OK")
    restored, scale = driver.image("cells_restored"), driver.image("cells_scale")
    assert [int(n) for n in restored.getDimensions()] == [20, 16, 2, 3, 2]
    expected = carezoo.load(made("probabilistic_2d")).restore(array[..., 6:22, 4:24], "TZCYX")
    np.testing.assert_array_equal(to_image(restored).array(), expected.mean)
    np.testing.assert_array_equal(to_image(scale).array(), expected.scale)
    found = to_image(restored)
    assert found.pixel_size_um == pytest.approx(size_um)
    assert found.metadata.origin_um["X"] == pytest.approx(1.4)
    assert found.metadata.frame_interval_s == 2.5
    assert found.metadata.channel_names == ("nuclei", "actin")
    assert found.metadata.display_mode == "composite"
    np.testing.assert_array_equal(found.metadata.luts[1], luts[1])
    for (low, high), channel in zip(found.metadata.display_ranges, np.moveaxis(expected.mean, 2, 0), strict=True):
        assert channel.min() <= low < high <= channel.max()
    assert "restored with" in found.metadata.notes
    box = restored.getOverlay().get(0).getBounds()
    assert (box.x, box.y) == (-2, -3)
    assert int(to_image(scale).metadata.luts[0][0, 255]) == 255  # fire ends in white


def test_planes_that_come_closer_and_stacks_that_become_surfaces(session, made):
    array = packages.picture((4, 24, 30))
    show(session, array, "ZYX", "few", pixel_size_um={"Z": 1.0, "Y": 0.1, "X": 0.1})
    assert session.run("CARE Restore...", f"package_file={made('upsample_3d')}").startswith("OK")
    dense = driver.image("few_restored")
    assert dense.getNSlices() == 10
    assert dense.getCalibration().pixelDepth == pytest.approx(0.4)
    driver.close_all()
    show(session, packages.picture((7, 24, 30)), "ZYX", "sheet")
    assert session.run("CARE Restore...", f"package_file={made('project_3d')}").startswith("OK")
    assert driver.image("sheet_restored").getStackSize() == 1


def test_averages_of_frames(session, made):
    array = packages.picture((7, 60, 50)) + (40 * np.arange(7, dtype=np.uint16))[:, None, None]
    source = show(session, array, "TYX", "series", metadata=Metadata(frame_interval_s=0.5))
    model = carezoo.load(made("ensemble_2d"))
    assert session.run("CARE Restore...", f"package_file={made('ensemble_2d')} average=3").startswith("OK")
    restored = driver.image("series_restored")
    np.testing.assert_array_equal(to_image(restored).array(), model.restore(array, "TYX", average=3).mean)
    assert restored.getCalibration().frameInterval == pytest.approx(1.5)
    assert "CAREzoo: series: its last 1 of 7 frames fill no average of 3" in log()
    np.testing.assert_array_equal(to_image(source).array(), array)


def test_averages_in_the_dialog_and_its_preview(session, made):
    array = packages.picture((7, 60, 50)) + (40 * np.arange(7, dtype=np.uint16))[:, None, None]
    source = show(session, array, "TYX", "series")
    load("ij.IJ").run("Record...")
    recorder = driver.wait_for(lambda: load("ij.plugin.frame.Recorder").getInstance(), "the Recorder opens")
    load("ij.WindowManager").setCurrentWindow(source.getWindow())
    source.setT(7)  # which is in no mean: the last one is shown
    driver.click_menu(0)
    dialog = driver.dialog("CARE Restore")
    next(each for each in dialog.getStringFields() if str(each.getText()) == "1").setText("3")
    driver.shot("averages", dialog)
    driver.press(dialog, "Preview")
    shown = to_image(driver.wait_for(lambda: session.preview, "the preview opens")).array()
    mean = array[3:6].mean(0).astype(np.float32)
    np.testing.assert_array_equal(shown[:, :50], mean)
    np.testing.assert_array_equal(shown[:, -50:], carezoo.load(MODEL).restore(mean, "YX").mean)
    driver.press(dialog, "OK")
    assert driver.image("series_restored").getNFrames() == 2
    driver.wait_for(lambda: "average=" in str(recorder.getText()), "the command is recorded")
    recorded = str(recorder.getText())
    recorder.close()
    assert " average=3 " in recorded


def test_a_selection_is_never_ignored_silently(session, noisy):
    noisy.setRoi(10, 10, 50, 40)
    assert session.run("CARE Restore...", f"model={MODEL}").startswith("OK")
    assert "the selection was ignored (region=[selection] uses it)" in log()
    noisy.killRoi()
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    assert "has no selection" in session.run("CARE Restore...", f"model={MODEL} region=selection")


@pytest.mark.parametrize(
    ("array", "options", "told"),
    [
        (None, "model=denoise-bpae-2d", "ERROR InputError: there is no image open"),
        ((24, 30), "package_file={denoise_3d}", "works along ZYX, but cells has axes YX"),
        ((24, 30), "model=nonsense", "ERROR UnknownModelError: no model 'nonsense'"),
        ((24, 30), "model=denoise-bpae-2d tile=big", "expected auto, whole, one size"),
        ((24, 30), "model=denoise-bpae-2d average=0", "average '0': expected how many frames become one, 1 or more"),
        ((24, 30), "model=denoise-bpae-2d average=2", "ERROR AxesError: average 2: means are taken over frames (T)"),
        ((24, 30), "modell=x", "ERROR InputError: CARE Restore...: unknown option modell"),
        ((24, 30), "model=denoise-bpae-2d precision=best", "precision=best: expected exact, fast"),
        ("rgb", "model=denoise-bpae-2d", "ERROR FileFormatError: rgb is an RGB image"),
    ],
)
def test_bad_input_is_one_line_and_a_verdict(session, made, array, options, told):
    if array == "rgb":
        load("ij.IJ").createImage("rgb", "RGB ramp", 8, 8, 1).show()
    elif array is not None:
        show(session, packages.picture(array), "YX")
    before = driver.titles()
    verdict = session.run("CARE Restore...", options.format(denoise_3d=made("denoise_3d")))
    assert told in verdict
    assert log().count("CAREZOO ERROR") == 1
    assert driver.titles() == before


def test_a_wrong_image_is_told_in_a_dialog_with_a_hint(session, made):
    load("ij.IJ").createImage("rgb", "RGB ramp", 200, 150, 1).show()
    driver.click_menu(0)
    box = driver.dialog("CAREzoo")
    driver.shot("error", box)
    assert "Split Channels" in session.verdict
    driver.press(box, "OK")
    driver.wait_for(lambda: not driver.windows("java.awt.Dialog"), "the dialog closes")
    assert session.verdict.startswith("ERROR FileFormatError")


def test_a_macro_stops_at_an_error_unless_it_looks_itself(session):
    bad = 'run("CARE Restore...", "model=denoise-bpae-2d{}"); return "went on";'
    assert session.run_macro(bad.format("")) == ""
    assert session.run_macro(bad.format(" on_error=continue")) == "went on"
    assert session.verdict.startswith("ERROR InputError: there is no image open")


@pytest.fixture
def long_run(session, made):
    """Return a restoration under way that takes many seconds."""
    source = show(session, np.tile(packages.picture((1, 64, 64)), (4000, 1, 1)), "TYX", "long")
    options = f"package_file={made('ensemble_2d')} tile=20"
    call = driver.Background(lambda: session.run("CARE Restore...", options))
    driver.wait_for(driver.is_restoring, "the restoration begins")
    return source, call


def test_escape_stops_and_nothing_blocks(session, long_run):
    source, call = long_run
    assert driver.event_thread_answers()
    other = load("ij.IJ").createImage("other", "8-bit ramp", 40, 40, 1)
    load("ij.IJ").run(other, "Invert", "")  # other commands get through while ours runs
    assert call.thread.is_alive()
    driver.shot("progress")
    driver.escape(lambda: not call.thread.is_alive())
    assert call.join().result == "CANCELLED"
    assert driver.titles() == ["long"]
    assert to_image(source).shape == (4000, 64, 64)


def _medium(session, made):
    source = show(session, np.tile(packages.picture((1, 64, 64)), (60, 1, 1)), "TYX", "medium")
    call = driver.Background(lambda: session.run("CARE Restore...", f"package_file={made('ensemble_2d')} tile=20"))
    driver.wait_for(driver.is_restoring, "the restoration begins")
    return source, call


def test_an_image_closed_while_it_is_restored(session, made):
    source, call = _medium(session, made)
    source.changes = False
    source.close()
    assert call.join().result.startswith("OK")
    assert "the image was closed while it was restored" in log()
    assert driver.image("medium_restored").getNFrames() == 60


def test_an_image_changed_while_it_is_restored(session, made):
    source, call = _medium(session, made)
    before = to_image(source).array().copy()
    source.getStack().getProcessor(3).set(7)
    assert call.join().result.startswith("OK")
    assert "the result belongs to what it was before" in log()
    expected = carezoo.load(made("ensemble_2d")).restore(before[:1], "TYX").mean[0]
    assert np.abs(to_image(driver.image("medium_restored")).array()[0] - expected).max() < 1e-2 * np.ptp(expected)


def test_uncertainty_models_scores_and_help(session, noisy, made):
    assert "nothing is known of the uncertainty of noisy.tif" in session.run("CARE Show Uncertainty...", "interval=50%")
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    assert session.run("CARE Restore...", f"model={MODEL}").startswith("OK")
    assert driver.titles() == ["noisy.tif", "noisy_restored"]  # a flag that is not named is not set
    result = carezoo.load(MODEL).restore(to_image(noisy).array(), "YX")
    assert session.run("CARE Show Uncertainty...", "show=[standard deviation]").startswith("OK")
    np.testing.assert_allclose(to_image(driver.image("noisy_restored_std")).array(), result.std, rtol=1e-6)
    load("ij.WindowManager").setCurrentWindow(driver.image("noisy_restored").getWindow())
    assert "interval=lots" in session.run("CARE Show Uncertainty...", "show=[width of the interval] interval=lots")
    load("ij.WindowManager").setCurrentWindow(driver.image("noisy_restored").getWindow())
    assert session.run("CARE Show Uncertainty...", "show=[low end of the interval] interval=90%").startswith("OK")
    assert (to_image(driver.image("noisy_restored_low_90")).array() < result.mean).all()
    windows.find_kept(driver.image("noisy_restored"))["scale"].getProcessor().setf(0, 0.0)
    low, high = result.interval(0.5)
    width = (high - low).astype(np.float32)
    width[0, 0] = 0  # a scale that has underflown, or was rounded to the type of the image
    load("ij.WindowManager").setCurrentWindow(driver.image("noisy_restored").getWindow())
    assert session.run("CARE Show Uncertainty...", "show=[width of the interval] interval=50%").startswith("OK")
    np.testing.assert_allclose(to_image(driver.image("noisy_restored_width_50")).array(), width, rtol=1e-4, atol=1e-3)
    clean = carezoo.open_image(ROOT / "zoo" / "demo" / "clean.tif").crop({"Y": slice(100, 260), "X": slice(100, 300)})
    session.show_window(to_imageplus(clean, "clean.tif"))
    told = session.run("CARE Compare with Reference...", "image=noisy_restored reference=clean.tif")
    score = carezoo.score(result.mean, clean.array())
    assert told.startswith(f"OK PSNR {score.psnr_db:.2f} dB")
    driver.shot("uncertainty")
    assert session.run("CARE Model Info...", f"model={MODEL}") == f"OK showed {REFERENCE}"
    assert session.run("CARE Get Models...", f"model={MODEL}") == f"OK fetched {REFERENCE}"
    assert session.run("CARE Help", "on_error=continue") == "OK showed help"
    for title in (f"CARE model {REFERENCE}", "CAREzoo", "Results"):
        load("ij.WindowManager").getWindow(title).dispose()


def test_a_folder(session, made, tmp_path):
    (tmp_path / "in").mkdir()
    arrays = {f"cell{i}": packages.picture((24, 30), seed=i) for i in range(2)}
    for name, array in arrays.items():
        carezoo.write_image(tmp_path / "in" / f"{name}.tif", Image(array, "YX"))
    (tmp_path / "in" / "broken.tif").write_bytes(b"no TIFF")
    options = f"input_folder=[{tmp_path / 'in'}] output_folder=[{tmp_path / 'out'}] package_file={made('denoise_2d')}"
    session.run("CARE Restore Folder...", f"{options} average=2")
    assert "cell0.tif: failed: AxesError: average 2: means are taken over frames (T)" in log()
    assert session.run("CARE Restore Folder...", options) == "OK 2 restored, 1 failed"
    for name, array in arrays.items():
        restored = carezoo.open_image(tmp_path / "out" / f"{name}_restored.tif").array()
        np.testing.assert_array_equal(restored, carezoo.load(made("denoise_2d")).restore(array, "YX").mean)
    assert "broken.tif: failed" in log()
    assert "expected a folder" in session.run("CARE Restore Folder...", "input_folder=/nowhere output_folder=x")


def test_java_without_memory_for_the_result(session, noisy, monkeypatch):
    """Java is really asked for more than it has, where the planes of the result are made."""
    before = to_image(noisy).array().copy()
    planes = sys.modules["carezoo_fiji.planes"]

    def huge(kind):
        return lambda n: jpype.JArray(kind)(2**31 - 8)

    monkeypatch.setattr(planes, "jpype", SimpleNamespace(JArray=huge, nio=jpype.nio))
    verdict = session.run("CARE Restore...", f"model={MODEL}")
    assert verdict.startswith("ERROR OutOfMemoryError: there is not enough memory for the result: ImageJ may take")
    assert log().count("CAREZOO ERROR") == 1
    assert "Close other images" in log()
    assert driver.titles() == ["noisy.tif"]
    monkeypatch.undo()
    np.testing.assert_array_equal(to_image(noisy).array(), before)
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    assert session.run("CARE Restore...", f"model={MODEL}").startswith("OK")  # the next one works again


def test_python_without_memory(session, noisy, monkeypatch):
    def no_memory(*_, **__):
        raise MemoryError("Unable to allocate 3.00 GiB")

    monkeypatch.setattr("carezoo.runtime.targets.np.empty", no_memory)
    verdict = session.run("CARE Restore...", f"model={MODEL}")
    assert verdict == ("ERROR OutOfMemoryError: there is not enough memory for the result: Unable to allocate 3.00 GiB")
    assert driver.titles() == ["noisy.tif"]


def test_a_full_disk(session, made, tmp_path):
    (tmp_path / "in").mkdir()
    carezoo.write_image(tmp_path / "in" / "cell.tif", Image(packages.picture((24, 30)), "YX"))
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    options = f"input_folder=[{tmp_path / 'in'}] output_folder=[{tmp_path / 'out'}] package_file={made('denoise_2d')}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a disk does that is full: it writes no more
    try:
        verdict = session.run("CARE Restore Folder...", options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    assert "cell_restored.tif: File too large. Nothing was left behind" in verdict
    assert verdict.startswith("ERROR InputError: cannot write")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_cannot_be_fetched(session):
    verdict = session.run("CARE Get Models...", "other=http://127.0.0.1:9/model.zip")
    assert verdict.startswith("ERROR DownloadError: ")
    assert "Models that are on this computer already work without a network" in log()


def test_images_both_ways_from_python(session, noisy):
    image = session.active_image()
    assert (image.axes, image.name) == ("YX", "noisy.tif")
    shown = session.show(session.models.get(MODEL).restore(image))
    assert [str(imp.getTitle()) for imp in shown] == ["noisy_restored", "noisy_scale"]
    driver.wait_for(lambda: session.active_image().name == "noisy_restored", "the restored image becomes active")
    assert session.show(np.zeros((3, 8, 9), np.float64), "ZYX", title="zeros")[0].getNSlices() == 3


def test_the_model_and_its_network_stay_loaded(session, noisy):
    assert session.run("CARE Restore...", f"model={MODEL}").startswith("OK")
    model = session.models.get(MODEL)
    networks = dict(model._sessions)
    load("ij.WindowManager").setCurrentWindow(noisy.getWindow())
    assert session.run("CARE Restore...", f"model={MODEL}").startswith("OK")
    assert session.models.get(MODEL) is model
    assert networks == model._sessions
    assert len(networks) == 1
