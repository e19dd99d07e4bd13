"""What importing costs: heavy modules stay out until they are used."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "onnx", "onnxruntime", "bioimageio", "matplotlib", "skimage", "scipy", "bioio", "lightning_fabric"}
HEAVY |= {"httpx", "jinja2", "nh3"}

PROBE = """
import json, sys
{code}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def _modules_after(code):
    done = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import carezoo",
        "import carezoo.api",
        "import carezoo; carezoo.load, carezoo.open_image",
        "from carezoo.cli.main import run; run(['--help'])",
    ],
)
def test_heavy_modules_stay_out(code):
    assert _modules_after(code) & HEAVY == set()


def test_the_probe_sees_heavy_modules():
    assert "onnxruntime" in _modules_after("import onnxruntime")
