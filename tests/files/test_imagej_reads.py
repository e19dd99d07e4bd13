"""A real ImageJ opens what carezoo writes: dimensions, calibration, display, notes, pixels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from carezoo import files
from carezoo.image import Image, Metadata

JAR = Path("/usr/share/java/ij.jar")

pytestmark = [
    pytest.mark.skipif(not JAR.exists(), reason="needs ImageJ 1.x (Debian package imagej)"),
    pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run (Debian packages xvfb, xauth)"),
]

LOOK = """
folder = getArgument();
names = getFileList(folder);
for (i = 0; i < names.length; i++) if (endsWith(names[i], ".tif")) {
  open(folder + names[i]);
  Stack.getDimensions(width, height, channels, slices, frames);
  getVoxelSize(dx, dy, dz, unit);
  getMinAndMax(low, high);
  getLut(red, green, blue);
  first = getValue(3, 2);
  label = getInfo("slice.label");
  notes = getInfo("carezoo");
  setSlice(nSlices);
  print(names[i] + "|" + bitDepth() + "|" + width + "," + height + "," + channels + "," + slices + "," + frames + "|"
    + dx + "," + dy + "," + dz + "," + unit + "|" + Stack.getFrameInterval() + "|" + low + "," + high + "|"
    + red[255] + "," + green[255] + "," + blue[255] + "|" + first + "," + getValue(8, 6) + "|" + label + "|" + notes);
  close();
}
"""


def test_imagej_shows_what_was_written(tmp_path):
    ramp = np.arange(256)
    magenta = np.stack([ramp, 0 * ramp, ramp]).astype(np.uint8)
    green = np.stack([0 * ramp, ramp, 0 * ramp]).astype(np.uint8)
    size_um = {"X": 0.1, "Y": 0.1, "Z": 0.3}
    arrays = {}
    for dtype in ("uint8", "uint16", "int16", "float32"):
        array = (np.arange(3 * 2 * 4 * 7 * 9) % 199 - (50 if dtype in {"int16", "float32"} else 0)).astype(dtype)
        arrays[dtype] = array = array.reshape(3, 2, 4, 7, 9)
        two = Metadata(("nuclei", "actin"), 2.5, {}, (magenta, green), ((1.0, 90.0), (3.0, 99.0)), "composite", "Info")
        files.write_image(tmp_path / f"hyper_{dtype}.tif", Image(array, "TCZYX", size_um, two), {"model": 1})
        one = Metadata((), None, {}, (green,), ((1.0, 90.0),))
        files.write_image(tmp_path / f"stack_{dtype}.tif", Image(array[0, 0], "ZYX", size_um, one), {"model": 1})
        files.write_image(tmp_path / f"series_{dtype}.ome.tif", Image(array[:, 0, 0], "TYX", size_um, one))
    (tmp_path / "look.ijm").write_text(LOOK)
    command = ["xvfb-run", "-a", "java", "-cp", str(JAR), "ij.ImageJ", "-batch"]
    finished = subprocess.run(
        [*command, str(tmp_path / "look.ijm"), f"{tmp_path}/"], capture_output=True, text=True, timeout=300
    )
    shown = dict(line.split("|", 1) for line in finished.stdout.splitlines() if ".tif|" in line)
    depth = {"uint8": "8", "uint16": "16", "int16": "16", "float32": "32"}
    for dtype, array in arrays.items():
        values = f"{array[0, 0, 0, 2, 3]:g},{array[-1, -1, -1, 6, 8]:g}"
        assert shown[f"hyper_{dtype}.tif"] == (
            f'{depth[dtype]}|9,7,2,4,3|0.1,0.1,0.3,µm|2.5|1,90|255,0,255|{values}|nuclei|{{"model": 1}}'
        )
        values = f"{array[0, 0, 0, 2, 3]:g},{array[0, 0, -1, 6, 8]:g}"
        display = shown[f"stack_{dtype}.tif"].split("|")
        assert display[:3] == [depth[dtype], "9,7,1,4,1", "0.1,0.1,0.3,µm"]
        assert [float(limit) for limit in display[4].split(",")] == pytest.approx([1, 90], abs=1)  # 8 bit: whole bins
        assert display[5:] == ["0,255,0", values, "", '{"model": 1}']
        # ImageJ does not read OME-XML: it takes the planes for slices, and the pixel size from the TIFF resolution
        assert shown[f"series_{dtype}.ome.tif"].split("|")[:3] == [depth[dtype], "9,7,1,3,1", "0.1,0.1,1,µm"]
