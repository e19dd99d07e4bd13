"""Metadata that stand once for each channel, where the number of channels changes."""

from __future__ import annotations

import dataclasses

from carezoo.image import Metadata


def fitting(metadata: Metadata, n_channels: int) -> Metadata:
    """Return `metadata` without what was said for another number of channels."""
    return dataclasses.replace(
        metadata,
        channel_names=metadata.channel_names if len(metadata.channel_names) == n_channels else (),
        luts=metadata.luts if len(metadata.luts) == n_channels else (),
        display_ranges=metadata.display_ranges if len(metadata.display_ranges) == n_channels else (),
        display_mode=metadata.display_mode if n_channels > 1 else None,
    )
