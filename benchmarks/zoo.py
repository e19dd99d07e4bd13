"""The zoo: how large what ships is, and how long its pages take from disk."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from carezoo.registry.site.pages import write_site
from carezoo.registry.zoo import open_embedded

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def figures() -> Iterator[Figure]:
    versions = open_embedded().index().versions
    megabytes = sum(version.zip.size for version in versions) / 1e6
    yield Figure("all shipped packages together", megabytes, "MB", at_most=80.0, note=f"{len(versions)} packages")
    name = "slowest page from disk, until everything is loaded (median of 5)"
    programs = [shutil.which(program) for program in ("chromium", "chromedriver")]
    if None in programs:
        yield Figure(name, None, "s", at_most=1.0, note="needs chromium and chromedriver: make system")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_site(open_embedded().folder, Path(folder))
        pages = [Path(folder, "index.html"), *sorted(Path(folder).glob("*/index.html"))]
        slowest = max(_seconds(pages, *programs).items(), key=lambda each: each[1])
    yield Figure(name, slowest[1], "s", at_most=1.0, note=slowest[0])


def _seconds(pages: list[Path], chromium: str, chromedriver: str) -> dict[str, float]:
    """Return for each page how long it takes in headless Chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        found = {}
        for page in pages:
            times = []
            for _ in range(5):
                browser.get(page.as_uri())
                ends = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
                times.append(browser.execute_script(ends) / 1e3)
            found[page.parent.name if page.parent != pages[0].parent else "gallery"] = statistics.median(times)
        return found
    finally:
        browser.quit()
