"""The smaller commands: uncertainty, models, scores, help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.metrics import score
from carezoo.package.info import summary
from carezoo.registry import catalog
from carezoo.registry.resolve import pull
from carezoo.runtime import members
from carezoo.uncertainty.levels import Recalibration
from carezoo.version import __version__
from carezoo_fiji import windows
from carezoo_fiji.calls import VERDICT, Call
from carezoo_fiji.form import Field, Values
from carezoo_fiji.images import to_image, to_imageplus
from carezoo_fiji.java import load
from carezoo_fiji.restoring import active_image, model_fields, reference

STD, WIDTH = "standard deviation", "width of the interval"
LOW, HIGH = "low end of the interval", "high end of the interval"
DISAGREEMENT = "disagreement of the ensemble"
_ENDINGS = {STD: "std", WIDTH: "width", LOW: "low", HIGH: "high", DISAGREEMENT: "disagreement"}
"""What titles of windows end in."""

HELP_TEXT = """carezoo {version}: content-aware restoration (CARE) in ImageJ

CARE Restore...                 restores the active image; the image itself stays as it is
CARE Restore Folder...          restores all images of a folder into another one
CARE Show Uncertainty...        what a model that knows it says of a restored image
CARE Get Models...              fetches models
CARE Model Info...              what a model is, what it was trained on, how good it is
CARE Compare with Reference...  PSNR, NRMSE and SSIM against an image of the same scene

All commands can be recorded (Plugins > Macros > Record...) and called from macros.
Escape stops a restoration. After each command the Java property {verdict}
says how it ended: call("java.lang.System.getProperty", "{verdict}").

A restored image is an estimate: structures the training images did not have can be
drawn wrongly and look right.

Guide: {help}
"""


def ask_uncertainty(session: Any, call: Call) -> tuple[Any, Values]:
    """Ask what to show of a restored image."""
    restored = active_image()
    found = windows.find_kept(restored)
    if not {"scale", "disagreement"} & set(found):
        raise InputError(
            f"nothing is known of the uncertainty of {restored.getTitle()}. Click on an image that CARE Restore... "
            "made with a probabilistic model or an ensemble in this session"
        )
    shown = ((STD, WIDTH, LOW, HIGH) if "scale" in found else ()) + ((DISAGREEMENT,) if "disagreement" in found else ())
    fields = [Field("show", "choice", shown[0], shown), Field("interval", "text", "90%")]
    return restored, call.ask(fields, help_url=session.HELP)


def show_uncertainty(session: Any, call: Call, asked: tuple[Any, Values]) -> str:
    """Show one view of the uncertainty as a window."""
    restored, values = asked
    what, level = str(values["show"]), _level(str(values["interval"]))
    made = call.in_background(lambda: _uncertainty(restored, what, level))
    session.show_window(made)
    return f"showed {made.getTitle()}"


def _level(text: str) -> float:
    try:
        level = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        level = 0.0
    if not 0 < level < 1:
        raise InputError(f"interval={text}: expected a percentage between 0% and 100%, such as 90%")
    return level


def _uncertainty(restored: Any, what: str, level: float) -> Any:
    found = windows.find_kept(restored)
    ending = _ENDINGS[what] + (f"_{level * 100:g}" if what in {WIDTH, LOW, HIGH} else "")
    name = str(load("ij.WindowManager").makeUniqueName(f"{restored.getShortTitle()}_{ending}"))
    if what == DISAGREEMENT:
        image = to_image(found["disagreement"])
    else:
        mean, scale = to_image(restored), to_image(found["scale"])
        image = replace(scale, pixels=_view(mean, scale, what, level, windows.recalibration(restored)))
    is_value = what in {LOW, HIGH}
    source = restored if is_value else found["disagreement" if what == DISAGREEMENT else "scale"]
    luts = to_image(source).metadata.luts
    made = to_imageplus(replace(image, metadata=replace(image.metadata, luts=luts, display_ranges=())), name)
    if not is_value:
        windows.paint(made, image)
    made.setCalibration(source.getCalibration().copy())
    return made


def _view(mean: Image, scale: Image, what: str, level: float, levels: Recalibration | None) -> NDArray[np.float32]:
    """Return what is shown: `Restoration.interval`, but of an ensemble the Laplace distribution of equal variance."""
    if mean.shape != scale.shape:
        raise InputError(f"{mean.name} was changed since it was restored: its uncertainty does not fit any more")
    laplace = members.laplace(mean.array(), scale.array())
    if what == STD:
        return np.asarray(laplace.std, np.float32)
    low, high = laplace.interval(levels.level(level) if levels else level)
    return np.asarray({WIDTH: high - low, LOW: low, HIGH: high}[what], np.float32)


def ask_model(session: Any, call: Call) -> str:
    """Ask for a model that is on this computer."""
    return reference(call.ask(model_fields(session), help_url=session.HELP))


def show_model(session: Any, call: Call, chosen: str) -> str:
    """Show what a model is, as ``carezoo info`` prints it."""
    model = call.in_background(lambda: session.models.get(chosen))
    show_text(session, f"CARE model {model.manifest.reference}", summary(model.package))
    return f"showed {model.manifest.reference}"


def ask_new_model(session: Any, call: Call) -> str:
    """Ask for a model to fetch: one of the zoos, or any name, version or address."""
    listed = call.in_background(catalog.models)
    names = tuple(dict.fromkeys(row.name for row in listed))
    lines = [
        f"{row.name} {row.version} ({'on this computer' if row.is_here else row.zoo})"
        + (f": {row.entry.title}" if row.entry and row.entry.title else "")
        for row in listed
    ]
    fields = [Field("model", "choice", names[0] if names else "", names, is_open=True), Field("other", "text")]
    hint = "Other: NAME@VERSION, bioimage.io/ID, or the address of a package."
    values = call.ask(fields, message="\n".join([*lines[:20], "", hint]), help_url=session.HELP)
    return str(values["other"]).strip() or str(values["model"])


def get_model(session: Any, call: Call, chosen: str) -> str:
    """Bring a model to this computer."""
    if not chosen:
        raise InputError("no model was named: expected a name, NAME@VERSION, or the address of a package")

    def work() -> str:
        def progress(done: int, total: int, what: str) -> None:
            call.status(f"fetching {what}")
            call.progress(done, total)

        return str(session.models.get(str(pull(chosen, progress=progress).path)).manifest.reference)

    fetched = call.in_background(work)
    session.remembered["model"] = chosen.partition("@")[0]
    call.status(f"{fetched} is ready")
    load("ij.IJ").log(f"CAREzoo: {fetched} is on this computer")
    return f"fetched {fetched}"


def ask_comparison(session: Any, call: Call) -> tuple[Any, Any]:
    """Ask for the image to score and its reference."""
    active = active_image()
    titles = tuple(str(title) for title in load("ij.WindowManager").getImageTitles())
    others = tuple(title for title in titles if title != str(active.getTitle()))
    if not others:
        raise InputError("there is only one image open. Open the reference (a long exposure of the same scene), too")
    fields = [Field("image", "choice", str(active.getTitle()), titles), Field("reference", "choice", others[0], titles)]
    values = call.ask(fields, help_url=session.HELP)
    image, reference_image = (load("ij.WindowManager").getImage(str(values[key])) for key in ("image", "reference"))
    return image, reference_image


def compare(session: Any, call: Call, asked: tuple[Any, Any]) -> str:
    """Score an image against its reference, plane stacks as one volume, and add a line to the results."""
    del session
    image, expected = asked
    if image.getID() == expected.getID():
        raise InputError("image and reference are the same window: choose two")
    first, second = to_image(image), to_image(expected)
    if first.axes != second.axes or set(first.axes) - set("ZYX"):
        raise InputError(
            f"scores are of one channel and one time point; {image.getTitle()} has axes {first.axes} {first.shape}, "
            f"{expected.getTitle()} has {second.axes} {second.shape}. Choose a part with Image > Duplicate..."
        )
    scores = call.in_background(lambda: score(np.asarray(first.array()), np.asarray(second.array()), name=first.name))
    table = load("ij.measure.ResultsTable").getResultsTable()
    table.incrementCounter()
    table.addLabel(first.name)
    table.addValue("reference", second.name)
    table.addValue("PSNR_dB", float(scores.psnr_db))
    table.addValue("NRMSE", float(scores.nrmse))
    if scores.ssim is not None:
        table.addValue("SSIM", float(scores.ssim))
    table.show("Results")
    return f"PSNR {scores.psnr_db:.2f} dB, NRMSE {scores.nrmse:.4f}" + (
        f", SSIM {scores.ssim:.4f}" if scores.ssim else ""
    )


def ask_nothing(session: Any, call: Call) -> None:
    """Ask nothing."""
    del session
    if not call.is_interactive:
        call.ask([])


def show_help(session: Any, call: Call, asked: None) -> str:
    """Show what there is."""
    del call, asked
    show_text(session, "CAREzoo", HELP_TEXT.format(version=__version__, verdict=VERDICT, help=session.HELP))
    return "showed help"


def show_text(session: Any, title: str, text: str) -> None:
    """Show text in a window of its own; in the log where there are no windows."""
    if session.is_headless:
        load("ij.IJ").log(text)
    else:
        load("ij.text.TextWindow")(title, text, 760, 480)
