"""A model card as HTML: rendered by a library, and cleaned of everything that a card does not need."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from typing import Any

from carezoo.errors import MissingExtraError

TAGS = frozenset(
    {
        *("h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "ul", "ol", "li"),
        *("a", "code", "del", "em", "img", "strong"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
)
"""What a card may consist of; h1 is the page's own."""

_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "td": {"style"}, "th": {"style"}}

_ALIGNMENT = re.compile(r"text-align:(left|right|center)")


def to_html(text: str, files: Collection[str], folder: str) -> str:
    """Return a card as HTML that runs nothing and loads nothing from elsewhere.

    Parameters
    ----------
    text
        Markdown with tables.
    files
        Of the package: a picture is shown if it is one of them.
    folder
        Where they are, relative to the page.

    Raises
    ------
    MissingExtraError
        If the libraries are not installed.
    """
    nh3 = _library("nh3")
    rendered = _renderer().render(text)
    rendered = re.sub(r"<(/?)h([1-5])>", lambda match: f"<{match[1]}h{int(match[2]) + 1}>", rendered)
    cleaned: str = nh3.clean(
        rendered,
        tags=set(TAGS),
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        attribute_filter=_filter(files, folder),
    )
    return cleaned


def _filter(files: Collection[str], folder: str) -> Callable[[str, str, str], str | None]:
    def keep(tag: str, attribute: str, value: str) -> str | None:
        if tag == "img" and attribute == "src":
            return f"{folder}/{value}" if value in files else None
        if tag == "a" and attribute == "href" and not re.match(r"https?://|mailto:|#", value):
            return f"{folder}/{value}" if value in files else None
        if attribute == "style":
            return value if _ALIGNMENT.fullmatch(value) else None
        return value

    return keep


@functools.cache
def _renderer() -> Any:
    markdown_it = _library("markdown_it")
    return markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError.of(name.replace("_", "-"), "site", "to make the pages of a zoo") from None
