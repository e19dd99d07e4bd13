"""Settings as dialogs hold them: text and numbers, with 0 and nothing for what carezoo decides."""

from __future__ import annotations

from typing import Literal

from carezoo.cli import options
from carezoo.runtime.providers import NAMES, Precision
from carezoo.runtime.restore import Settings

PROVIDERS = ["auto", *NAMES]
"""What may be asked for."""


def settings_of(
    *,
    tile: str,
    provider: str,
    precision: Precision,
    n_threads: int,
    average: int = Settings().average,
    nan: Literal["refuse", "zero"] = Settings().nan,
) -> Settings:
    """Return the settings of a dialog.

    Parameters
    ----------
    tile
        As on the command line: auto, whole, 512, or 16,256,256.
    provider, precision, nan
        One of `PROVIDERS`; exact or fast; refuse or zero.
    n_threads
        0: as carezoo decides.
    average
        Frames whose mean is restored as one.

    Raises
    ------
    InputError
        If `tile` is none of these.
    """
    return Settings(
        tile=options.tile(tile.strip()),
        provider=provider,
        precision=precision,
        n_threads=n_threads or None,
        average=average,
        nan=nan,
    )
