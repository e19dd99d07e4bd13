"""Models that ship, or the packages that variables of the environment name in their place."""

from __future__ import annotations

import os

import carezoo
from carezoo.errors import CarezooError


def model(variable: str, name: str) -> carezoo.Model | None:
    """Return the package that `variable` names, or the model `name`; None if there is none."""
    try:
        return carezoo.load(os.environ.get(variable, name))
    except CarezooError:
        return None
