"""What importing costs: heavy modules stay out until they are used."""

import json
import os
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


@pytest.mark.parametrize("command", [["-m", "carezoo", "doctor"], ["-c", "import carezoo, onnxruntime"]], ids=str)
def test_onnxruntime_leaves_no_telemetry(command, tmp_path):
    own = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, *command],
        env=own | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "onnxruntime" in str(path)]


def test_a_telemetry_setting_of_the_user_stays():
    code = "import os, carezoo; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in (({"ORT_DISABLE_TELEMETRY": "0"}, "0"), ({}, "1")):
        own = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        done = subprocess.run([sys.executable, "-c", code], env=own | given, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
