"""One image, one model, every door: Python, command line, ImageJ command, worker, KNIME. The same pixels."""

import subprocess
import sys
from pathlib import Path

import display
import numpy as np
import packages
import pytest

import carezoo
from carezoo.cli.main import run
from carezoo.package.write import write_package

ROOT = Path(__file__).parents[2]
NOISY = ROOT / "zoo" / "demo" / "noisy.tif"


def by_command_line(source, model, folder):
    assert run(["restore", str(source), "--model", str(model), "--output", str(folder)]) == 0
    return folder / "noisy_restored.tif"


def by_imagej_command(source, model, folder):
    pytest.importorskip("imagej", reason='needs pyimagej (pip install "carezoo[fiji]")')
    macro = folder / "work.ijm"
    options = f"model=denoise-bpae-2d package_file=[{model}]"
    macro.write_text(f'open("{source}"); run("CARE Restore...", "{options}"); saveAs("Tiff", "{folder}/out.tif");')
    command = [sys.executable, "-m", "carezoo", "fiji", "start", "--imagej-jar", display.JAR, "--run", macro]
    with display.screen() as environment:
        subprocess.run(command, env=environment, check=True, timeout=display.PATIENCE_S, capture_output=True)
    return folder / "out.tif"


def by_worker(source, model, folder):
    appose = pytest.importorskip("appose", reason='needs appose (pip install "carezoo[fiji]")')
    service = appose.service.Service(Path.cwd(), None, sys.executable, "-m", "carezoo.host.worker").start()
    try:
        results = service.task("restore", {"path": str(source), "model": str(model)}).wait_for().outputs["results"]
        carezoo.write_image(folder / "out.tif", carezoo.Image(results["mean"]["array"].ndarray().copy(), "YX"))
        for result in results.values():
            result["array"].shm.unlink_on_dispose(True)
            result["array"].shm.dispose()
    finally:
        service.close()
        service.wait_for()
        service._process.stdout.close()  # Appose leaves them open
        service._process.stderr.close()
    return folder / "out.tif"


def by_knime_row(source, model, folder):
    """What CARE Restore does without KNIME's API; `test_knime_nodes` runs the node itself."""
    sys.path.insert(0, str(ROOT / "bridges" / "knime" / "src"))
    from carezoo.package.read import open_package
    from carezoo.runtime.batch import Job
    from carezoo_knime.restoring import restore_rows

    (row,) = restore_rows([str(source)], Job(models={None: open_package(model)}, output=folder))
    return Path(row.restored)


needs_imagej = pytest.mark.skipif(bool(display.missing()), reason=display.missing())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_package(packages.ensemble_2d(), tmp_path_factory.mktemp("model") / "ensemble.zip")


@pytest.fixture(scope="module")
def expected(model):
    return carezoo.load(model).restore(NOISY).mean


@pytest.mark.parametrize(
    "door",
    [
        by_command_line,
        pytest.param(by_imagej_command, marks=needs_imagej),
        by_worker,
        by_knime_row,
    ],
)
def test_every_door_leads_to_the_same_pixels(door, model, expected, tmp_path):
    found = carezoo.open_image(door(NOISY, model, tmp_path))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.array(), expected)
