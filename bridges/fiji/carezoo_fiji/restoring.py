"""*CARE Restore...*: the active image, a model, and what comes out as further windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carezoo.api import Model
from carezoo.errors import CarezooError, InputError
from carezoo.host.models import list_choices
from carezoo.image import Image
from carezoo.settings import Settings, from_dialog
from carezoo_fiji import previewing, windows
from carezoo_fiji.calls import Call
from carezoo_fiji.form import Button, Field, Values, settings_fields
from carezoo_fiji.images import is_unchanged, selection, to_image
from carezoo_fiji.java import load

WHOLE, SELECTION = "whole image", "selection"


@dataclass(frozen=True)
class RestoreRequest:
    """What a call of the command asks for."""

    source: Any
    """The ij.ImagePlus to restore."""
    reference: str
    """Of the model."""
    is_selection: bool
    """Whether only the part under the selection is restored."""
    shows_uncertainty: bool
    settings: Settings


def active_image() -> Any:
    """Return the active ij.ImagePlus; `InputError` if there is none."""
    imp = load("ij.WindowManager").getCurrentImage()
    if imp is None:
        raise InputError("there is no image open. Open the image to restore and click on it")
    return imp


def model_fields(session: Any) -> list[Field]:
    """Return the fields that choose a model: one of those on this computer, or the file of a package."""
    names = tuple(choice.name for choice in list_choices())
    if not names:
        raise InputError("there are no models on this computer. Fetch one with CARE Get Models...")
    chosen = session.remembered.get("model", names[0])
    default = chosen if chosen in names else names[0]
    return [Field("model", "choice", default, names, is_open=True), Field("package_file", "file")]


def reference(values: Values) -> str:
    """Return what model was chosen; the file of a package goes before the list."""
    return str(values["package_file"]).strip() or str(values["model"])


def ask(session: Any, call: Call) -> RestoreRequest:
    """Ask for a model and how to run it."""
    source = active_image()
    to_image(source, region={"Y": slice(0, 1), "X": slice(0, 1)})  # refuses colours before anything is asked
    fields = [
        *model_fields(session),
        Field("region", "choice", WHOLE, (WHOLE, SELECTION)),
        Field("show_uncertainty", "flag", True),
        *settings_fields(),
    ]
    preview = Button("Preview", lambda values: previewing.start(session, source, _read_request(source, values)))
    try:
        values = call.ask(fields, message=_describe(source), help_url=session.HELP, button=preview)
    finally:
        previewing.close(session)
    session.remembered["model"] = values["model"]
    return _read_request(source, values)


def _read_request(source: Any, values: Values) -> RestoreRequest:
    is_selection = values["region"] == SELECTION
    return RestoreRequest(
        source, reference(values), is_selection, bool(values["show_uncertainty"]), from_dialog(values)
    )


def _describe(source: Any) -> str:
    width, height, *counts = map(int, source.getDimensions())
    named = zip(counts, ("channels", "slices", "frames"), strict=True)
    stacked = ", ".join(f"{n} {what}" for n, what in named if n > 1)
    return f"{source.getTitle()}: {width} x {height}" + (f", {stacked}" if stacked else "")


def do(session: Any, call: Call, request: RestoreRequest) -> str:
    """Restore, and show what came out; the image itself stays as it is."""
    source, region = request.source, choose_region(request, call)
    title = str(source.getTitle())
    call.status(f"{title}: loading {request.reference}")

    def work() -> tuple[Model, Any, Image]:
        image = to_image(source, region=region)
        model = session.models.get(request.reference)
        call.status(f"restoring {title} with {model.manifest.reference}; Escape stops")
        restored = model.restore(
            image, settings=request.settings, progress=call.progress, cancelled=call.stopped.is_set
        )
        return model, restored, image

    was_open = is_open(source)
    model, restoration, image = call.in_background(work)
    made = windows.make_results(restoration, model, source, region)
    further = [imp for name, imp in made.items() if name != "mean"]
    for imp in (*(further if request.shows_uncertainty else ()), made["mean"]):  # the last one shown is the active one
        session.show_window(imp)
    for warning in (*restoration.report.warnings, *_changes(source, image, region, was_open)):
        load("ij.IJ").log(f"CAREzoo: {warning}" if warning.startswith(f"{title}: ") else f"CAREzoo: {title}: {warning}")
    if restoration.report.n_clipped:
        load("ij.IJ").log(f"CAREzoo: {title}: {restoration.report.n_clipped} pixels were clipped to the result's type")
    call.status(f"restored with {model.manifest.reference} in {restoration.report.seconds:.1f} s")
    return f"restored {title} with {model.manifest.reference}"


def choose_region(request: RestoreRequest, call: Call) -> dict[str, slice] | None:
    """Return the part to restore; a missing selection is an `InputError`, an ignored one is logged."""
    found = selection(request.source)
    if not request.is_selection:
        if found and not call.is_interactive:
            load("ij.IJ").log(
                f"CAREzoo: {request.source.getTitle()}: the selection was ignored (region=[{SELECTION}] uses it)"
            )
        return None
    if found is None:
        raise InputError(f"{request.source.getTitle()} has no selection. Draw one, or choose region=[{WHOLE}]")
    return found


def is_open(imp: Any) -> bool:
    """Return whether ImageJ shows the image, or works on it in a macro's batch mode."""
    ids = load("ij.WindowManager").getIDList()
    return ids is not None and int(imp.getID()) in {int(each) for each in ids}


def _changes(source: Any, before: Image, region: Mapping[str, slice] | None, was_open: bool) -> list[str]:
    """Return what the user did to the image while it was restored."""
    if was_open and not is_open(source):
        return ["the image was closed while it was restored; the result is complete"]
    if not isinstance(before.pixels, np.ndarray):  # edits of virtual stacks are lost in ImageJ, too
        return []
    try:
        if is_unchanged(source, before, region):
            return []
    except CarezooError:  # it became an image of colours, or smaller than the selection
        pass
    return ["the image was changed while it was restored; the result belongs to what it was before"]
