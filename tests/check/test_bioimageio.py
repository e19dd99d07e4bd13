"""bioimageio.core as outside judge of the packages we write."""

import io
import json
import subprocess
import sys

import judging
import numpy as np
import packages
import pytest

from carezoo.check.run import check
from carezoo.package.read import open_package
from carezoo.package.write import write_package


@pytest.mark.slow
def test_every_kind_of_package_passes_bioimageios_own_test(tmp_path):
    paths = [write_package(build(), tmp_path / f"{name}.zip") for name, build in packages.DRAFTS.items()]
    paths += [build(tmp_path / name) for name, build in packages.FOREIGN.items()]
    found = judging.verdicts(paths, tmp_path)
    assert {verdict[:2] for verdict in found.values()} == {("ModelDescr", "passed")}, found


@pytest.mark.slow
@pytest.mark.parametrize("is_right", [True, False])
def test_the_judge_is_asked_and_believed(tmp_path, is_right):
    draft = packages.ensemble_2d()
    if not is_right:
        draft = packages.ensemble_2d(tolerance=(1e-9, 1e-9), files={"test_output.npy": _shifted(draft)})
    report = check(open_package(write_package(draft, tmp_path / "model.zip")), bioimageio=True)
    verdict = report.findings[-1]
    assert (verdict.name, verdict.passed) == ("bioimageio", is_right)
    assert ("passed" in verdict.detail) is is_right
    assert list(tmp_path.iterdir()) == [tmp_path / "model.zip"]


def _shifted(draft):
    return packages.npy(np.load(io.BytesIO(draft.files["test_output.npy"])) + np.float32(0.5))


BLOCKWISE = """
import json, sys
import numpy as np
from bioimageio.core import load_description, predict
model = load_description(sys.argv[2])
tensor = model.inputs[0]
found = {}
for n_planes in (9, 18):
    raw = np.random.default_rng(0).poisson(300, (1, 1, n_planes, 44, 52)).astype(np.uint16)
    whole, blocks = (
        next(iter(predict(model=model, inputs={tensor.id: raw}, blocksize_parameter=n).members.values())).data.values
        for n in (None, 25)
    )
    inside = (Ellipsis, slice(8, -8), slice(8, -8))  # at its border core has rules of its own
    found[n_planes] = [list(whole.shape), float(np.abs(whole - blocks)[inside].max())]
open(sys.argv[1], "w").write(json.dumps([str(tensor.axes[2].size), found]))
"""


@pytest.mark.slow
def test_what_bioimageio_core_does_with_projections(tmp_path):
    """Z has a fixed size for others: with that many planes their blocks are right, deeper stacks they cut.

    The second half is what the card warns of. Should it fail one day, core has learned not to cut, and the card may be
    changed.
    """
    path, result = write_package(packages.project_3d(), tmp_path / "project.zip"), tmp_path / "found.json"
    command = [sys.executable, "-W", "ignore", "-c", BLOCKWISE, str(result), str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.exists(), finished.stderr[-2000:]
    size, found = json.loads(result.read_text())
    assert size == "9"
    assert found["9"][0] == found["18"][0] == [1, 1, 44, 52]
    assert found["9"][1] < 0.01, found  # core pads whole images before it takes percentiles
    assert found["18"][1] > 0.05
