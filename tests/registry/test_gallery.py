"""Pages of a zoo: everything a stranger wrote is text, pictures show what the package does."""

import io
from dataclasses import replace
from html.parser import HTMLParser

import imagecodecs
import numpy as np
import packages
import pytest
from zoos import add_draft

from carezoo.errors import ZooError
from carezoo.package.manifest import Architecture, Calibration, Record
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry.site import markdown, pictures
from carezoo.registry.site.pages import write_site

pytest.importorskip("nh3", reason='needs the extra "site"')

EVIL = """# Card <script>alert(1)</script>

<img src=x onerror=alert(1)> <a href="javascript:alert(1)">a</a> [b](javascript:alert(1)) [c](data:text/html,x)
[home](https://example.org "t") [file](README.md) [up](../../secret)

![cover](cover.png) ![far](https://evil.example/track.gif) ![gone](missing.png) ![up](../cover.png)

| a | b |
| :- | -: |
| 1 | `<b>` |

<iframe src="https://evil.example"></iframe><style>body{display:none}</style><svg onload=alert(1)>
"""


class _Seen(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]


def test_a_card_runs_nothing_and_loads_nothing_from_elsewhere():
    html = markdown.to_html(EVIL, ["cover.png", "README.md"], "1.0.0")
    seen = _Seen(html)
    assert seen.tags <= markdown.TAGS
    assert not [each for each in seen.attributes if each[1].startswith("on") or "javascript" in str(each[2])]
    sources = [value for tag, name, value in seen.attributes if name == "src"]
    assert sources == ["1.0.0/cover.png"]
    assert [value for tag, name, value in seen.attributes if name == "href"] == [
        "https://example.org",
        "1.0.0/README.md",
    ]
    assert "&lt;script&gt;alert(1)" in html
    assert '<td style="text-align:right"><code>&lt;b&gt;</code></td>' in html
    assert "<h2>Card" in html


@pytest.fixture
def zoo(tmp_path):
    folder = tmp_path / "zoo"
    folder.mkdir()
    return folder


def test_everything_in_a_manifest_is_text(zoo, tmp_path):
    nasty = '"><script>alert(1)</script>'
    draft = packages.denoise_2d(
        description=nasty,
        input_channels=(nasty,),
        license=nasty,
        tags=(nasty,),
        authors=(packages.Author(nasty),),
        parent=(nasty, nasty),
        record=Record(
            scores={nasty: 1.0},
            calibration=Calibration(coverage={nasty: {nasty: 0.5}}),
            network=Architecture(nasty, {nasty: nasty}, 7),
        ),
        files={"README.md": nasty.encode()},
    )
    add_draft(zoo, draft, "zips")
    write_site(zoo, tmp_path / "site", url="https://example.org/'\"><script>alert(1)</script>")
    for path in ("index.html", "test-2d/index.html"):
        text = (tmp_path / "site" / path).read_text("utf8")
        assert "<script>alert" not in text
        assert text.count("<script") == 1, "the gallery's own"
        assert "&lt;script&gt;alert(1)" in text
        assert not [each for each in _Seen(text).attributes if each[1].startswith("on")]


def test_a_page_tells_what_one_wants_to_know(zoo, tmp_path):
    record = Record(scores={"psnr_gain_db": 7.25, "n_images": 3}, calibration=Calibration(factor=1.07))
    draft = packages.ensemble_2d(record=record, files={"README.md": b"# Card\n\n## Limits\n\nNone known.\n"})
    add_draft(zoo, draft, "zips")
    assert write_site(zoo, tmp_path / "site", url="https://example.org/zoo") == 1
    text = (tmp_path / "site" / "test-2d-ensemble" / "index.html").read_text("utf8")
    for words in (
        "+7.2 dB",
        "ensemble of 2",
        "factor",
        "1.07",
        "None known.",
        "carezoo pull test-2d-ensemble --zoo https://example.org/zoo",
        "test-2d-ensemble@1.0.0",
        'href="1.0.0/test-2d-ensemble-1.0.0.zip"',
    ):
        assert words in text, words


def _shown(draft, tmp_path):
    shown = pictures.before_after(open_package(write_package(draft, tmp_path / f"{draft.id}.zip")))
    return shown, *(imagecodecs.png_decode(image) for image in (shown.before, shown.after))


@pytest.mark.parametrize("name", sorted(packages.DRAFTS))
def test_pictures_of_every_task_are_of_one_size(name, tmp_path):
    shown, before, after = _shown(packages.DRAFTS[name](), tmp_path)
    assert before.shape == after.shape
    assert before.shape[:2] == (shown.height, shown.width)
    assert before.ndim == (3 if name == "two_channels_2d" else 2)
    assert before.std() > 0
    assert after.std() > 0
    assert ("section" in shown.caption) == (name == "upsample_3d")


def test_a_picture_shows_the_test_image(tmp_path):
    draft = packages.denoise_2d()
    _, before, _ = _shown(draft, tmp_path)
    raw = np.load(io.BytesIO(draft.files["test_input.npy"]))[0, 0]
    small = before[:: before.shape[0] // raw.shape[0], :: before.shape[1] // raw.shape[1]]
    assert np.corrcoef(small.ravel(), np.minimum(raw, np.percentile(raw, 99.8)).ravel())[0, 1] > 0.99


def test_a_package_without_pictures_has_a_page(tmp_path, zoo, monkeypatch):
    add_draft(zoo, packages.denoise_2d(), "zips")
    monkeypatch.setattr(pictures, "before_after", lambda package: None)
    write_site(zoo, tmp_path / "site")
    assert "no picture" in (tmp_path / "site" / "index.html").read_text()


def test_pages_that_a_package_brings_do_not_replace_ours(zoo, tmp_path):
    draft = packages.denoise_2d()
    draft = replace(draft, files={**draft.files, "index.html": b"<script>theirs</script>"})
    add_draft(zoo, draft, "zips")
    write_site(zoo, tmp_path / "site")
    assert "theirs" not in (tmp_path / "site" / "test-2d" / "index.html").read_text()


def test_no_zoo_no_site(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match=r"carezoo publish PACKAGE --zoo"):
        write_site(tmp_path / "empty", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_zoo_of_zips_is_not_filled_with_pages(zoo):
    add_draft(zoo, packages.denoise_2d(), "zips")
    with pytest.raises(ZooError, match="give another folder"):
        write_site(zoo, zoo)
