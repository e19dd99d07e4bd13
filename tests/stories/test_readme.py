"""Every block of the README runs, or is named here with what it would need."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.cli.main import run
from carezoo.registry.zoo import open_embedded

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf8"), re.DOTALL)

ELSEWHERE = {
    "make demo": "test_demo.py runs the command it ends with",
    "make test": "this is it",
    "carezoo train --noisy": "tests/train/test_noisy_recipe.py runs it",
    "pip install": "needs a package index; CI's own set-up installs the extras",
    "py -m venv": "needs Windows",
    ".venv\\Scripts": "needs Windows",
}


def _blocks(language):
    return [text for name, text in BLOCKS if name == language]


def _commands():
    lines = [
        line.partition("#")[0].strip() for name, text in BLOCKS if name in {"sh", "bat"} for line in text.splitlines()
    ]
    return [line for line in lines if line and not any(line.startswith(start) for start in ELSEWHERE)]


def test_all_languages_are_known():
    assert {name for name, _ in BLOCKS} == {"sh", "bat", "python", "yaml"}


def test_python_blocks():
    (code,) = _blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cpu" in done.stdout or "cuda" in done.stdout


def test_commands(tmp_path, monkeypatch, capsys):
    """All carezoo commands, in order, in a folder that has what they name."""
    (recipe,) = _blocks("yaml")
    tmp_path.joinpath("recipe.yaml").write_text(recipe, encoding="utf8")
    (tmp_path / "zoo").mkdir()
    shutil.copytree(ROOT / "zoo" / "demo", tmp_path / "zoo" / "demo")
    for side, name in (("noisy", "noisy.tif"), ("clean", "clean.tif")):
        whole = tifffile.imread(ROOT / "zoo" / "demo" / name)
        (tmp_path / side).mkdir()
        for i in range(4):
            tifffile.imwrite(tmp_path / side / f"{i}.tif", np.ascontiguousarray(whole[:160, 80 * i : 80 * i + 160]))
    monkeypatch.chdir(tmp_path)
    commands = _commands()
    assert [command.split()[1] for command in commands] == [
        "list",
        "info",
        "restore",
        "train",
        "check",
        "show",
        "evaluate",
    ]
    for command in commands:
        assert run(command.replace("--max-minutes 10", "--max-minutes 0.02").split()[1:]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("version", open_embedded().index().newest(), ids=lambda version: version.model)
def test_the_table_of_models_says_what_their_cards_say(version):
    lines = (ROOT / "README.md").read_text(encoding="utf8").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{version.model}` |")]
    for key in ("psnr_db_input", "psnr_db", "psnr_db_best_baseline"):
        if key in version.scores:
            assert f"{version.scores[key]:.1f}" in row, f"{key} is {version.scores[key]:.1f}"


@pytest.mark.parametrize("start", ELSEWHERE)
def test_what_is_left_out_is_still_in_the_readme(start):
    assert any(line.strip().startswith(start) for _, text in BLOCKS for line in text.splitlines())
