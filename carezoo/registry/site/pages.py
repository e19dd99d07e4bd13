"""The folder a web server needs: the zoo in the layout all readers know, and a page for every model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from carezoo.errors import MissingExtraError, ZooError
from carezoo.files.atomic import replacing
from carezoo.package.read import Package
from carezoo.registry import folder as folder_
from carezoo.registry.index import Index, Version
from carezoo.registry.site import markdown, pictures, view

HOME = Path(__file__).parent

ASSETS = "assets"
"""Style and script, beside the models."""

SHOWN = "page"
"""Folder of a model's pictures."""


def write_site(source: Path, target: Path, *, url: str = "", progress: Callable[[str], None] | None = None) -> int:
    """Write the pages of a zoo and, elsewhere than in the zoo itself, a copy of its packages.

    Parameters
    ----------
    target
        Folder to write, `source` itself or another one. What it holds of an earlier run is replaced.
    url
        Where it will be served; needed for id_map.json, and named in the commands of the pages.
    progress
        Called with each version that is copied.

    Returns
    -------
    int
        Number of models.

    Raises
    ------
    ZooError
        If `source` is not a zoo.
    AlreadyPublishedError
        If `target` holds another file under a published version.
    MissingExtraError
        If the extra `site` is not installed.
    """
    require()
    index = folder_.read_index(source)
    if not index.versions:
        raise ZooError(f"{source} is not a zoo, or has no models yet. carezoo publish PACKAGE --zoo {source} adds one")
    index = replace(index, url=url.rstrip("/") or index.url)
    if source.resolve() == target.resolve():
        if index.layout == "zips":
            raise ZooError(f"{source} holds zips only; give another folder for the pages (-o SITE)")
        folder_.copy_to(source, target, index, progress)
    else:
        index = folder_.copy_to(source, target, index, progress)
    _copy_assets(target)
    newest = {each.reference for each in index.newest()}
    shown = {}
    for version, package in folder_.packages_of(target, index):
        if version.reference in newest:
            shown[version.model] = _write_model(target, index, version, package)
    page = _template("index.html").render(
        cards=[(view.card_of(version), shown[version.model]) for version in index.newest()],
        tasks=sorted({(card.task, card.task_in_words) for card in map(view.card_of, index.newest())}),
        dims=sorted({view.card_of(version).dims for version in index.newest()}),
        root=".",
        url=index.url,
    )
    _write(target / "index.html", page)
    return len(newest)


def require() -> None:
    """Raise MissingExtraError unless pages can be made; ask before anything is written."""
    _environment()
    markdown.to_html("", (), "")


def _write_model(target: Path, index: Index, version: Version, package: Package) -> pictures.BeforeAfter | None:
    """Write the page of a model and its pictures; return them."""
    folder = target / version.model
    shown = pictures.before_after(package)
    if shown:
        for name, content in (("before.png", shown.before), ("after.png", shown.after)):
            path = folder / SHOWN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    page = _template("model.html").render(
        card=view.card_of(version),
        shown=shown,
        facts=view.facts_of(version, package),
        scores=view.scores_of(version),
        calibration=view.calibration_of(package),
        citations=package.manifest.rdf.get("cite"),
        readme=_readme(package, version.version),
        versions=[(each, f"{each.version}/{Path(each.zip.url).name}") for each in reversed(index.of(version.model))],
        archive=f"{version.version}/{Path(version.zip.url).name}",
        size=view.size,
        root="..",
        url=index.url,
    )
    _write(folder / folder_.PAGE, page)
    return shown


def _readme(package: Package, folder: str) -> str:
    name = package.manifest.rdf.get("documentation")
    if not isinstance(name, str) or not package.has(name):
        return ""
    return markdown.to_html(package.read_bytes(name).decode("utf8", "replace"), package.names(), folder)


def _copy_assets(target: Path) -> None:
    (target / ASSETS).mkdir(parents=True, exist_ok=True)
    for path in sorted((HOME / ASSETS).iterdir()):
        if path.is_file():
            shutil.copyfile(path, target / ASSETS / path.name)


def _template(name: str) -> Any:
    return _environment().get_template(name)


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError.of("jinja2", "site", "to make the pages of a zoo") from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOME / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf8")
