"""A headless browser, and the site of a zoo with three models."""

import shutil

import packages
import pytest
from zoos import add_draft

from carezoo.package.manifest import Record
from carezoo.registry.site.pages import write_site

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,900"),
)


@pytest.fixture(scope="session")
def driver():
    """A browser; where it is missing, the skip says how to get it."""
    selenium = pytest.importorskip("selenium.webdriver", reason='needs selenium (extra "dev")')
    from selenium.webdriver.chrome.service import Service

    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: make system installs them on Debian")
    options = selenium.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = selenium.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "zoo").mkdir()
    scored = Record(scores={"psnr_gain_db": 7.0, "psnr_db": 30.0})
    add_draft(folder / "zoo", packages.probabilistic_2d(id="nuclei-2d", record=scored), "zips")
    add_draft(folder / "zoo", packages.denoise_3d(id="nuclei-3d", description="Stacks of nuclei."))
    add_draft(folder / "zoo", packages.project_3d(id="wing", record=Record(scores={"psnr_gain_db": 9.0})))
    write_site(folder / "zoo", folder / "site", url="https://example.org/zoo")
    return folder / "site"


@pytest.fixture
def page(driver, site):
    """Open a page from disk and return the browser; complaints of the browser fail the test."""

    def go(path="index.html", *, width=1200, scheme="light"):
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get((site / path).as_uri())
        return driver

    yield go
    assert driver.get_log("browser") == []
