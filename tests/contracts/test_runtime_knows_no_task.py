"""The graph is the model: whoever opens carezoo/runtime cannot tell which tasks exist, and restoring never asks."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import packages
import pytest

from carezoo.image import Image
from carezoo.package.manifest import Section
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore
from carezoo.tasks import TASKS

RUNTIME = Path(__file__).parents[2] / "carezoo" / "runtime"
WORDS = re.compile("|".join([*(task.removesuffix("e") for task in TASKS), r"projection", r"\btasks?\b"]), re.IGNORECASE)


def mentions(text):
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if WORDS.search(line)]


def test_no_task_is_named_in_the_runtime():
    modules = sorted(RUNTIME.rglob("*.py"))
    assert len(modules) > 10
    assert {path.name: found for path in modules if (found := mentions(path.read_text(encoding="utf8")))} == {}


@pytest.mark.parametrize("line", ["if manifest.task:", "# upsampling models", "Denoises.", 'kind == "isotropic"'])
def test_the_probe_sees_tasks(line):
    assert mentions(line)


class Secretive(Section):
    """A section of a package that does not say what the task is."""

    def __getattribute__(self, name):
        assert name != "task"
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", ["denoise_3d", "upsample_3d", "project_3d", "ensemble_2d"])
def test_restoring_never_asks_for_the_task(tmp_path, name):
    package = open_package(write_package(getattr(packages, name)(), tmp_path / "model.zip"))
    assert package.manifest.carezoo.task in TASKS
    image = Image(packages.picture((5, 24, 20)), "ZYX")
    silent = replace(package, manifest=replace(package.manifest, carezoo=Secretive(**vars(package.manifest.carezoo))))
    for result, restored in restore(image, package).images.items():
        np.testing.assert_array_equal(restore(image, silent).images[result].array(), restored.array())
