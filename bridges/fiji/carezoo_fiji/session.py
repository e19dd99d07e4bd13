"""An ImageJ or Fiji with carezoo's commands: started from Python, or attached to."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import FileFormatError, InputError
from carezoo.host.models import LoadedModels
from carezoo.image import Image
from carezoo.runtime.restoration import Restoration
from carezoo.settings import Settings
from carezoo_fiji import commands, images, windows
from carezoo_fiji.calls import VERDICT, is_headless
from carezoo_fiji.java import jpype, load
from carezoo_fiji.restoring import active_image

_POLL_S = 0.1


class FijiSession:
    """An ImageJ with commands, and images both ways. Models that were used stay loaded.

    Made by `start` and `attach`.
    """

    HELP = "https://github.com/carezoo/carezoo/blob/main/docs/fiji.md"

    def __init__(self) -> None:
        self.models = LoadedModels()
        self.remembered: dict[str, Any] = {}
        """What was answered last, by field."""
        self.preview: Any = None
        self.preview_number = 0
        self.is_headless = is_headless()
        self._proxy = commands.attach(self)

    def active_image(self) -> Image:
        """Return a copy of the image that is active in ImageJ, with axes, pixel size and metadata.

        Raises
        ------
        InputError
            If none is open, or it is one of colours.
        """
        return images.to_image(active_image())

    def open(self, path: str | os.PathLike[str]) -> Any:
        """Open an image file as ImageJ does, and return the ij.ImagePlus.

        Raises
        ------
        FileFormatError
            If ImageJ cannot read it.
        """
        imp = load("ij.IJ").openImage(os.fspath(path))
        if imp is None:
            raise FileFormatError(f"{path}: ImageJ cannot open this file. carezoo restore may: it reads other formats")
        self.show_window(imp)
        return imp

    def restore(self, model: str, imp: Any = None, settings: Settings | None = None) -> Restoration:
        """Restore an ij.ImagePlus, by default the active one, with a model that stays loaded.

        Parameters
        ----------
        model
            Name, NAME@VERSION, or path of a package.
        """
        image = self.active_image() if imp is None else images.to_image(imp)
        return self.models.get(model).restore(image, settings=settings)

    def show(
        self, what: Restoration | Image | NDArray[Any], axes: str | None = None, *, title: str = "image"
    ) -> list[Any]:
        """Show a restoration (one window a result), an image, or an array with its axes; return the ij.ImagePlus made.

        Parameters
        ----------
        what
            uint8, uint16, int16, float32, or floating-point numbers of another size, which become float32.
        axes
            Letters out of TZCYX in array order; needed for arrays.
        title
            For arrays.

        Raises
        ------
        InputError
            If ImageJ has no such pixels.
        """
        if isinstance(what, Restoration):
            run = what.report.provenance
            made = {
                name: windows.make_result(name, image, run, _stem(image.name)) for name, image in what.images.items()
            }
            windows.keep(made, what.recalibration)
        else:
            if not isinstance(what, Image):
                if axes is None:
                    raise InputError(f"an array of shape {np.shape(what)} needs its axes: show(array, axes='ZYX')")
                what = Image(np.asarray(what), axes, name=title)
            made = {"image": images.to_imageplus(what, what.name)}
        shown = list(made.values())
        for imp in reversed(shown):  # the last one shown is the active one
            self.show_window(imp)
        if not self.is_headless:  # a slow window manager activates windows later, in an order of its own
            load("ij.WindowManager").setCurrentWindow(shown[0].getWindow())
        return shown

    def show_window(self, imp: Any) -> None:
        """Show an ij.ImagePlus, or only make it the active one where there are no windows."""
        if self.is_headless:
            load("ij.WindowManager").setTempCurrentImage(imp)
        else:
            imp.show()

    def run(self, command: str, options: str = "") -> str:
        """Run a command of ImageJ and return the verdict of the last command of carezoo.

        Returns
        -------
        str
            ``OK ...``, ``CANCELLED`` or ``ERROR TYPE: MESSAGE``; empty if no command of carezoo was called.
        """
        load("java.lang.System").clearProperty(VERDICT)
        try:
            load("ij.IJ").run(command, options)
        except jpype.JException as error:
            if "Macro canceled" not in str(error):
                raise
        return self.verdict

    def run_macro(self, text: str, argument: str = "") -> str:
        """Run the text of an ImageJ macro and return what it returns; see `verdict` for errors."""
        load("java.lang.System").clearProperty(VERDICT)
        return str(load("ij.IJ").runMacro(text, argument) or "")

    @property
    def verdict(self) -> str:
        """How the last command of carezoo ended."""
        return str(load("java.lang.System").getProperty(VERDICT) or "")

    def wait(self) -> None:
        """Wait until the window of ImageJ is closed."""
        while load("ij.IJ").getInstance() is not None:
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Take carezoo's commands away; ImageJ goes on."""
        commands.detach(self._proxy)


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in {"tif", "tiff", "ome", "zarr", "czi", "nd2", "lif"} else name
