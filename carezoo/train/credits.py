"""Who made a model, and what to cite: the parts of a recipe that give credit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from carezoo.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Author:
    """Somebody who made the model."""

    name: str
    """Full name."""
    affiliation: str = ""
    """Institute."""
    orcid: str = ""
    """ORCID iD, such as 0000-0001-2345-6789."""

    def __post_init__(self) -> None:
        if self.orcid and not re.fullmatch(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", self.orcid):
            raise RecipeError(f"orcid: expected the form 0000-0001-2345-6789, found {self.orcid!r}")


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Something to cite when the model is used."""

    text: str
    """The reference, as it should be printed."""
    doi: str = ""
    """DOI without address, such as 10.1038/s41592-018-0216-7."""
    url: str = ""
    """Address, where there is no DOI."""

    def __post_init__(self) -> None:
        if not (self.doi or self.url):
            raise RecipeError(f"citation {self.text!r}: expected a doi or a url")
        if self.doi and not re.fullmatch(r"10\.\d{4,}/\S+", self.doi):
            raise RecipeError(f"doi: expected the form 10.1038/s41592-018-0216-7, found {self.doi!r}")
