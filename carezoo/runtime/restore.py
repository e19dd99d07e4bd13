"""The conductor: an image and a package in, a restoration out, one path for every model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from carezoo import intensity
from carezoo.domain_check import compare
from carezoo.errors import Cancelled, InputError, OutOfMemoryError
from carezoo.image import Image
from carezoo.intensity import Normalization
from carezoo.package.manifest import Result
from carezoo.package.read import Package
from carezoo.progress import Progress
from carezoo.runtime import members, postprocess, tile_size
from carezoo.runtime.invalid import find_invalid, give_back, read_filled
from carezoo.runtime.layout import Index, Layout, lay_out
from carezoo.runtime.predict import PackagedNetwork, Piece
from carezoo.runtime.restoration import Provenance, Report, Restoration
from carezoo.runtime.session import Session
from carezoo.runtime.targets import MakeTarget, Targets, result_dtype
from carezoo.settings import Settings
from carezoo.tiling import Plan
from carezoo.valid import ValidPixels, average_frames
from carezoo.version import __version__


def restore(
    image: Image,
    package: Package,
    settings: Settings | None = None,
    *,
    session: Session | None = None,
    make_target: MakeTarget | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Restoration:
    """Restore `image` with `package`; parameters, result and errors as of `carezoo.Model.restore`.

    Samples, time points, and what else the network does not know are looped over.

    Parameters
    ----------
    session
        The package's graph, if it is loaded already.
    make_target
        Returns a context manager that yields where a result is written; by default arrays in memory.

    Returns
    -------
    Restoration
        `images` is empty for results that went to a target of the caller's.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    is_nan_refused = settings.nan == "refuse"
    averaged = average_frames(image, settings.average, settings.nodata, is_nan_refused=is_nan_refused)
    check_ranges(averaged, settings)
    layout = lay_out(
        averaged,
        package.manifest,
        is_per_frame=settings.is_per_frame,
        nodata=settings.nodata,
        is_nan_refused=is_nan_refused,
    )
    if make_target is None and _keeps_members(layout, package, settings):
        package = members.with_members(package)
        layout = replace(layout, manifest=package.manifest)
    network = PackagedNetwork(session or open_session(package, settings), package.manifest)
    dtype = result_dtype(image.dtype if settings.dtype == "input" else settings.dtype)
    plan = plan_tiles(layout, settings)
    measured = [_Measured(frames, _measure(layout, frames, settings)) for frames in layout.groups()]
    layout.valid.require_some()
    remarks = [remark for each in measured for remark in _pass_through(layout, each)]
    unlike = _unlike_training(layout.valid, package)
    warnings = _collect_warnings(network, layout, unlike, [*_describe_left_out(image, settings.average), *remarks])
    while True:
        provenance = replace(
            _provenance(package, network.session, plan), unlike_training=unlike, average=settings.average
        )
        try:
            with ExitStack() as stack:
                targets = Targets(stack, layout, dtype, provenance, make_target)
                work = _Work(layout, network, targets, plan, settings, progress, cancelled)
                for each in measured:
                    for frame in each.frames:
                        work.restore_frame(frame, each.normalization)
        except OutOfMemoryError as error:
            plan = _smaller(plan, layout, error)
            warnings.append(f"the planned tiles did not fit into memory; {plan.tile_shape} were used instead")
        else:
            break
    report = Report(
        provenance=provenance,
        n_voxels=work.n_voxels,
        seconds=round(time.perf_counter() - started, 3),
        n_clipped=targets.n_clipped,
        warnings=(*warnings, *layout.valid.remarks()),
    )
    images = targets.images()
    kept = {name: images.pop(name) for name in (members.MEANS, members.SCALES) if name in images}
    return Restoration(images, report, kept, package.manifest.recalibration)


def _collect_warnings(
    network: PackagedNetwork, layout: Layout, unlike: Sequence[str], remarks: Sequence[str]
) -> list[str]:
    """Return what a user has to know before the first pixel is restored; of the image's remarks, not too many."""
    more = [f"... and {len(remarks) - _MOST_REMARKS} more remarks on intensities"] if remarks[_MOST_REMARKS:] else []
    return [
        *filter(None, [network.session.choice.warning]),
        *network.manifest.remarks,
        *layout.remarks(),
        *(f"unlike the training images: {reason}" for reason in unlike),
        *remarks[:_MOST_REMARKS],
        *more,
    ]


def open_session(package: Package, settings: Settings) -> Session:
    """Load the graph of `package` as `settings` ask."""
    return Session(
        package.read_weights(),
        external_data=package.read_external_data(),
        provider=settings.provider,
        precision=settings.precision,
        n_threads=settings.n_threads,
    )


_MOST_REMARKS = 5

_MEMBERS_BYTES = 10**9
"""What members may take in memory without being asked for."""


def _keeps_members(layout: Layout, package: Package, settings: Settings) -> bool:
    """Return whether to keep what each member says. Channels that go one by one leave no place for it."""
    members = package.manifest.carezoo.members
    if not members or "C" in layout.loops or settings.keep_members is False:
        return False
    n_bytes = 2 * members.n * 4 * prod(layout.result_shape(package.manifest.results[0]))
    return bool(settings.keep_members) or n_bytes <= _MEMBERS_BYTES


def _unlike_training(valid: ValidPixels, package: Package) -> tuple[str, ...]:
    match = compare(valid.image, package.manifest.carezoo.training_images, valid)
    return match.reasons if match else ()


def _describe_left_out(image: Image, average: int) -> list[str]:
    """Return what to say of frames at the end that fill no average."""
    n = image.sizes["T"] % average if average > 1 else 0
    return [f"{image.name}: its last {n} of {image.sizes['T']} frames fill no average of {average}"] if n else []


def check_ranges(image: Image, settings: Settings) -> None:
    """Refuse ranges by channel that name a channel the image lacks."""
    n_channels = image.sizes.get("C", 1)
    if isinstance(settings.intensity_range, Mapping) and max(settings.intensity_range) >= n_channels:
        raise InputError(
            f"intensity range of channel {max(settings.intensity_range)}: {image.name} has {n_channels} channel(s), "
            "counted from 0"
        )


def _measure(layout: Layout, frames: list[Index], settings: Settings) -> Normalization:
    channels = [frames[0].get("C", channel) for channel in range(layout.n_channels)]
    operations = intensity.with_settings(layout.manifest.input.preprocessing, settings, channels)
    blocks = [layout.blocks(frames, channel) for channel in range(layout.n_channels)]
    return intensity.measure(operations, blocks, layout.image.name)


@dataclass(frozen=True)
class _Measured:
    """Frames with shared statistics, and what was measured on them."""

    frames: list[Index]
    normalization: Normalization


def _pass_through(layout: Layout, measured: _Measured) -> Iterator[str]:
    """Take for invalid what was not measured: channels without a range, debris. Yield why, and what else is odd."""
    for channel, why in measured.normalization.unmeasured.items():
        blank = True
        for frame in measured.frames:
            for plane in layout.planes({"C": channel, **frame}):
                blank = blank and layout.valid.is_blank(plane)
            layout.valid.exclude({"C": channel, **frame})
        if not blank:
            yield f"{_part(layout, channel, measured)}: passed through as it is, because {why}"
    for channel, limit in measured.normalization.limits.items():
        for frame in measured.frames:
            for plane in layout.planes({"C": channel, **frame}):
                layout.valid.hide_above(plane, limit)
    for channel, remark in measured.normalization.remarks.items():
        yield f"{_part(layout, channel, measured)}: {remark}"


def _part(layout: Layout, channel: int, measured: _Measured) -> str:
    """Return what messages call one channel of frames with shared statistics."""
    first, last = measured.frames[0], measured.frames[-1]
    return layout.name_part(channel, {letter: i for letter, i in first.items() if last[letter] == i})


def plan_tiles(layout: Layout, settings: Settings) -> Plan:
    """Return the tiles `settings` ask for; automatic ones fill the memory that is free."""
    shape, rules = layout.spatial_shape, layout.rules()
    if settings.tile == "whole":
        return tile_size.automatic(shape, tile_size.drop_tiling(rules), 0.0, 0)
    if settings.tile == "auto":
        bytes_per_pixel = layout.manifest.carezoo.bytes_per_pixel or tile_size.UNKNOWN_BYTES_PER_PIXEL
        return tile_size.automatic(shape, rules, bytes_per_pixel, settings.memory_bytes or tile_size.budget_bytes())
    return tile_size.plan_given(shape, rules, settings.tile, layout.spatial)


class _Work:
    """One restoration under way."""

    def __init__(
        self,
        layout: Layout,
        network: PackagedNetwork,
        targets: Targets,
        plan: Plan,
        settings: Settings,
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.layout, self.network, self.targets, self.plan = layout, network, targets, plan
        self.is_nan_zeroed = settings.nan == "zero"
        self.n_voxels = layout.n_frames * prod(layout.spatial_shape)
        self._progress, self._cancelled, self._n_done = progress, cancelled, 0

    def restore_frame(self, position: Index, normalization: Normalization) -> None:
        """Restore one frame, tile by tile."""
        n_before, waiting = self._n_done, _Deferred(self.layout)
        dark = normalization.offset
        pieces = self.network.pieces(
            lambda region: read_filled(self.layout, position, region, dark), self.plan, normalization
        )
        self._stop_if_cancelled()
        for i, tile in enumerate(pieces, start=1):
            for piece in tile:
                if not waiting.keeps(piece):
                    self._write(piece, position)
            self._n_done = n_before + prod(self.layout.spatial_shape) * i // self.plan.n_tiles
            if self._progress:
                self._progress(self._n_done, self.n_voxels, self.layout.image.name)
            self._stop_if_cancelled()
        for piece in waiting.finish(position):
            self._write(piece, position)

    def _write(self, piece: Piece, position: Index) -> None:
        self.targets.write(give_back(self.layout, piece, position, is_nan_zeroed=self.is_nan_zeroed), position)

    def _stop_if_cancelled(self) -> None:
        if self._cancelled and self._cancelled():
            raise Cancelled(f"{self.layout.image.name}: stopped; nothing was written")


def _smaller(plan: Plan, layout: Layout, error: OutOfMemoryError) -> Plan:
    """Return a plan with smaller tiles; the result is the same whatever the tiles."""
    smaller = tile_size.halve_tiles(plan, layout.rules(), layout.spatial_shape)
    if smaller is None:
        raise OutOfMemoryError(
            f"{layout.image.name}: not even the smallest tile {plan.tile_shape} fits into memory. Close other "
            "programs, or use a smaller model"
        ) from error
    return smaller


class _Deferred:
    """Outputs of one frame that wait for statistics of the whole of them (only models made elsewhere have such)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._values: dict[str, tuple[Result, NDArray[np.float32]]] = {}

    def keeps(self, piece: Piece) -> bool:
        """Store `piece` and return True, if its output has to wait."""
        output = self._layout.manifest.tensor(piece.result)
        if not postprocess.is_deferred(output):
            return False
        letters = [letter for letter in self._layout.spatial if letter in output.sizes]
        if piece.result.name not in self._values:
            sizes = dict(
                zip(self._layout.result_axes(piece.result), self._layout.result_shape(piece.result), strict=True)
            )
            shape = (len(piece.result.channels), *(sizes[letter] for letter in letters))
            self._values[piece.result.name] = (piece.result, np.empty(shape, np.float32))
        self._values[piece.result.name][1][(slice(None), *(piece.region[letter] for letter in letters))] = piece.values
        return True

    def finish(self, position: Index) -> list[Piece]:
        """Return the whole outputs with everything applied."""
        source = [self._layout.blocks([position], channel) for channel in range(self._layout.n_channels)]
        pieces = [Piece(result, values, {}) for result, values in self._values.values()]
        return [
            replace(
                piece,
                values=postprocess.finish(
                    piece.values,
                    self._layout.manifest.tensor(piece.result),
                    source,
                    find_invalid(self._layout, piece, position),
                ),
            )
            for piece in pieces
        ]


def _provenance(package: Package, session: Session, plan: Plan) -> Provenance:
    return Provenance(
        model=package.manifest.id,
        version=package.manifest.version,
        package_sha256=package.sha256,
        provider=session.provider,
        precision=session.precision,
        dtype=session.choice.dtype,
        reason=session.choice.reason,
        tile=plan.tile_shape,
        n_tiles=plan.n_tiles,
        halo_share=round(plan.halo_share, 4),
        carezoo_version=__version__,
    )
