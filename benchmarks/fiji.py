"""Figures of the bridge: conversion of a stack in each direction against a plain copy, and the start of ImageJ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figures import Figure

SHAPE = (64, 512, 512)

WORK = """
import json
import numpy as np
from benchmarks.figures import ratio
from carezoo_fiji import java
from carezoo_fiji.images import to_image
from carezoo_fiji.planes import to_stack
java.start([java.find_jar()], headless=True)
array = np.random.default_rng(0).integers(0, 65535, {shape}).astype(np.uint16)
stacked = array[np.newaxis, :, np.newaxis]
imp = java.load("ij.ImagePlus")("stack", to_stack(stacked))
assert np.array_equal(to_image(imp).array(), array)
there = ratio(lambda: to_stack(stacked), array.copy, 31)
back = ratio(lambda: to_image(imp), array.copy, 31)
print(json.dumps([there, back]))
"""


def figures() -> Iterator[Figure]:
    names = [f"512x512x64 uint16 {way} ImagePlus, times a plain copy" for way in ("to", "from")]
    done = subprocess.run([sys.executable, "-c", WORK.format(shape=SHAPE)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.splitlines() or ["no ImageJ"])[-1]
        yield from (Figure(name, None, at_most=3, note=reason) for name in names)
        return
    for name, (times, seconds, copy_s) in zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True):
        yield Figure(name, times, at_most=3, note=f"{seconds * 1e3:.0f} ms, copy {copy_s * 1e3:.0f} ms")
