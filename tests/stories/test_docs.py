"""The Python of every page in docs/ runs, or a comment above the block says what it would need."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)

ELSEWHERE = {"fiji.md": "needs a running ImageJ; tests/fiji drives one"}


def blocks(page):
    """Return the code of each block that runs, in order, and the reasons why others do not."""
    found = list(BLOCK.finditer(page.read_text("utf8")))
    runs = [each["code"] for each in found if not each["reason"] and page.name not in ELSEWHERE]
    return runs, [each["reason"] for each in found if each["reason"]]


PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if blocks(page)[0]]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the files that the pages name: an image, and pairs."""
    noisy, clean = (tifffile.imread(ROOT / "zoo" / "demo" / f"{name}.tif") for name in ("noisy", "clean"))
    tifffile.imwrite(tmp_path / "cell.tif", np.ascontiguousarray(noisy[:128, :128]))
    for name, image in (("low", noisy), ("high", clean)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "cell.tif", np.ascontiguousarray(image[:128, :128]))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, folder):
    if "appose" in page.read_text("utf8"):
        pytest.importorskip("appose", reason='needs appose (pip install "carezoo[fiji]")')
    code = "\n".join(blocks(page)[0])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pages_with_python_are_known():
    assert [page.name for page in PAGES] == ["evaluate.md", "trust.md", "worker.md"]
    reasons = {page.name: blocks(page)[1] for page in (ROOT / "docs").glob("*.md")}
    assert {name: len(each) for name, each in reasons.items() if each} == {"knime.md": 1}


def test_a_block_without_its_imports_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nnp.zeros(3)\n```\n<!-- not run: needs a GPU -->\n```python\nnever()\n```\n", "utf8")
    (code,), (reason,) = blocks(page)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "name 'np' is not defined" in done.stderr
    assert reason == "needs a GPU"
