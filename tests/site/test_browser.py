"""The gallery in a real browser, from disk: filters, slider, keyboard, phone, dark, and how long a page takes."""

import itertools

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason='needs selenium (extra "dev")')

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

PAGES = ("index.html", "nuclei-2d/index.html", "nuclei-3d/index.html", "wing/index.html")


def _names(browser):
    cards = browser.find_elements(By.CSS_SELECTOR, ".card")
    return [card.get_attribute("data-name") for card in cards if card.is_displayed()]


def test_search_filters_and_sorting(page):
    browser = page()
    assert _names(browser) == ["nuclei-2d", "nuclei-3d", "wing"]
    search = browser.find_element(By.ID, "search")
    search.send_keys("stacks nuclei")
    assert _names(browser) == ["nuclei-3d"]
    assert browser.find_element(By.ID, "count").text == "1 model"
    search.send_keys(" elephants")
    assert _names(browser) == []
    browser.find_element(By.ID, "reset").click()
    assert len(_names(browser)) == 3
    Select(browser.find_element(By.ID, "task")).select_by_value("project")
    assert _names(browser) == ["wing"]
    Select(browser.find_element(By.ID, "task")).select_by_value("")
    Select(browser.find_element(By.ID, "dims")).select_by_value("3D")
    assert _names(browser) == ["nuclei-3d", "wing"]
    Select(browser.find_element(By.ID, "dims")).select_by_value("")
    browser.find_element(By.ID, "probabilistic").click()
    assert _names(browser) == ["nuclei-2d"]
    browser.find_element(By.ID, "probabilistic").click()
    Select(browser.find_element(By.ID, "sort")).select_by_value("gain")
    assert _names(browser) == ["wing", "nuclei-2d", "nuclei-3d"]


def _split(browser):
    """Return where the border between before and after is drawn, in percent of the picture."""
    clip = browser.execute_script("return getComputedStyle(document.querySelector('.after')).clipPath")
    return clip.removeprefix("inset(").removesuffix(")").split()[-1]


def test_the_slider_moves_by_keyboard_and_by_mouse(page):
    browser = page("nuclei-2d/index.html")
    slider = browser.find_element(By.CSS_SELECTOR, ".stage input")
    assert _split(browser) == "50%"
    slider.send_keys(Keys.HOME)
    assert _split(browser) == "0%"
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert _split(browser) == "2%"
    webdriver.ActionChains(browser).move_to_element_with_offset(slider, slider.size["width"] // 4, 0).click().perform()
    assert 70 <= float(_split(browser).removesuffix("%")) <= 80


def test_everything_is_reached_by_tab_and_shows_it(page):
    browser = page()
    reached = []
    for _ in range(20):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        active = browser.switch_to.active_element
        reached.append(active.get_attribute("id") or active.get_attribute("type") or active.text)
        outlined = "let e = document.activeElement; return [e, e.closest('.stage')].filter(Boolean)"
        outline = f"{outlined}.some(x => getComputedStyle(x).outlineStyle !== 'none')"
        assert browser.execute_script(outline), f"no focus to be seen on {reached[-1]}"
        if active.text == "Test model test-project":
            break
    assert reached[:2] == ["Skip to content", "Model zoo"]
    assert {"search", "task", "dims", "sort", "probabilistic", "range", "Test model test-project"} <= set(reached)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.find_element(By.TAG_NAME, "h1").text == "Test model test-project"


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_scrolls_down_only(page, path):
    browser = page(path, width=360)
    wide, shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= shown
    small = """return [...document.querySelectorAll('p, dd, td, label, code')].filter(e => e.offsetParent
        && parseFloat(getComputedStyle(e).fontSize) < 11).map(e => e.textContent)"""
    assert browser.execute_script(small) == []


CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0.9) return c; } return [255, 255, 255]; };
return [...document.querySelectorAll('main *, header *, footer')].filter((e) => e.offsetParent
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && !e.closest('.stage')).map((e) => {
  const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 30)]; }).filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES[:2])
def test_text_stands_out_in_light_and_dark(page, path, scheme):
    browser = page(path, scheme=scheme)
    paper = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) < 380) == (scheme == "dark")
    assert browser.execute_script(CONTRAST) == []


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_named(page, path):
    browser = page(path)
    broken = """return [...document.images].filter(i => { i.loading = 'eager'; return i.complete && !i.naturalWidth; })
        .map(i => i.src)"""
    assert browser.execute_script(broken) == []
    unnamed = """return [...document.querySelectorAll('input, select, button, a, img')].filter(e => !(e.ariaLabel
        || e.alt || e.textContent.trim() || e.closest('label'))).map(e => e.outerHTML)"""
    assert browser.execute_script(unnamed) == []
    levels = [int(each.tag_name[1]) for each in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    outside = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('file:'))"
    assert browser.execute_script(outside) == []


def test_links_from_disk_lead_somewhere(page, site):
    browser = page("nuclei-2d/index.html")
    links = browser.execute_script("return [...document.querySelectorAll('main a, header a')].map(a => a.href)")
    files = [link for link in links if link.startswith("file:")]
    assert any(link.endswith("/1.0.0/nuclei-2d-1.0.0.zip") for link in files)
    for link in files:
        assert (site / link.removeprefix(site.as_uri() + "/")).exists(), link


def test_a_model_page_loads_within_a_second_from_disk(page):
    times = []
    for _ in range(3):
        browser = page("nuclei-2d/index.html")
        times.append(browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert 0 < min(times) < 1000


def test_without_scripts_everything_is_readable(page, driver):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser = page()
        cards = browser.find_elements(By.CSS_SELECTOR, ".card h2")
        assert [card.text for card in cards] == [f"Test model test-{name}" for name in ("2d-scale", "3d", "project")]
        assert not browser.find_element(By.CSS_SELECTOR, ".filters").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
