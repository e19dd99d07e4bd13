"""bioimageio.core as outside judge of the packages we write."""

import io
import json
import subprocess
import sys

import numpy as np
import packages
import pytest

from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.check import check

JUDGE = """
import json, sys
from bioimageio.core import load_description, test_description
statuses = {}
for path in sys.argv[2:]:
    description = load_description(path)  # with every check of files and test tensors
    summary = test_description(path, weight_format="onnx")
    errors = [error.msg for detail in summary.details for error in detail.errors]
    statuses[path] = [type(description).__name__, summary.status, errors]
open(sys.argv[1], "w").write(json.dumps(statuses))
"""


@pytest.mark.slow
def test_every_kind_of_package_passes_bioimageios_own_test(tmp_path):
    paths = [write_package(build(), tmp_path / f"{name}.zip") for name, build in packages.DRAFTS.items()]
    paths += [build(tmp_path / name) for name, build in packages.FOREIGN.items()]
    result = tmp_path / "statuses.json"
    command = [sys.executable, "-W", "ignore", "-c", JUDGE, str(result), *map(str, paths)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.exists(), finished.stderr[-2000:]
    assert {tuple(status[:2]) for status in json.loads(result.read_text()).values()} == {("ModelDescr", "passed")}, (
        result.read_text()
    )


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
