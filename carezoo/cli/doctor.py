"""``carezoo doctor`` and ``carezoo demo``: what is installed and what is wrong; a restoration to see that it works."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click
import numpy as np

import carezoo
from carezoo import files
from carezoo.cli import declared
from carezoo.errors import InputError, MissingExtraError, ZooError
from carezoo.files.atomic import make_folder
from carezoo.pictures.before_after import before_after
from carezoo.registry import cache, zoo
from carezoo.runtime import providers
from carezoo.version import __version__

DISTRIBUTIONS = (
    "numpy", "tifffile", "imagecodecs", "onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-openvino", "torch",
    "lightning-fabric", "onnx", "scikit-image", "matplotlib", "bioio", "bioimageio.core", "bioimageio.spec", "pydantic",
)  # fmt: skip

DEMO_MODEL = "denoise-bpae-2d"


@dataclass(frozen=True)
class Diagnosis:
    """One line of the diagnosis."""

    level: Literal["fact", "note", "problem"]
    topic: str
    text: str


@click.command("doctor")
@declared.json_option("the findings")
def doctor_command(as_json: bool) -> int:
    """Say what is installed, what runs, and what is wrong. Exit code 1 if something is."""
    findings = diagnose()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = {"fact": " ", "note": "-", "problem": "!"}[finding.level]
            click.echo(f"{mark} {finding.topic:<24} {finding.text}")
    return int(any(finding.level == "problem" for finding in findings))


def diagnose() -> list[Diagnosis]:
    """Look at everything a restoration or training depends on."""
    return [
        Diagnosis("fact", "carezoo", __version__),
        Diagnosis("fact", "python", f"{platform.python_version()} ({sys.executable}), {platform.platform()}"),
        Diagnosis(
            "fact", "processor", f"{providers.describe_processor()}, {providers.free_bytes() / 2**30:.1f} GiB free"
        ),
        _bfloat16(),
        *_versions(),
        *_onnxruntime(),
        *_bioimageio(),
        *_bridge(),
        _models(),
        *_zoos(),
    ]


def find_installed(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> list[Diagnosis]:
    return [Diagnosis("fact", name, version) for name in DISTRIBUTIONS if (version := find_installed(name)) is not None]


def _bfloat16() -> Diagnosis:
    has = providers.has_bfloat16()
    text = {True: "yes: fast precision pays", False: "no: fast precision runs as exact", None: "unknown on this system"}
    return Diagnosis("fact", "bfloat16 arithmetic", text[has])


def _onnxruntime() -> list[Diagnosis]:
    if find_installed("onnxruntime") and find_installed("onnxruntime-gpu"):
        advice = (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files. Run: "
            'pip uninstall -y onnxruntime onnxruntime-gpu, then pip install "carezoo[cpu]" or "carezoo[gpu]"'
        )
        return [Diagnosis("problem", "ONNX Runtime", advice)]
    try:
        problems = providers.problems()
    except MissingExtraError as error:
        return [Diagnosis("problem", "ONNX Runtime", str(error))]
    return [
        Diagnosis("note" if problem else "fact", f"provider {name}", problem or "loads")
        for name, problem in problems.items()
    ]


def _bioimageio() -> list[Diagnosis]:
    core, pydantic = find_installed("bioimageio.core"), find_installed("pydantic")
    if core == "0.11.0" and pydantic and tuple(map(int, pydantic.split(".")[:2])) >= (2, 14):
        text = f"bioimageio.core {core} breaks with pydantic {pydantic}. Run: pip install 'pydantic<2.14'"
        return [Diagnosis("problem", "bioimageio.core", text)]
    return []


def _bridge() -> list[Diagnosis]:
    """Look at Java, Fiji and ImageJ; what is missing is a note, as not everybody needs them."""
    if find_installed("jpype1") is None:
        return [Diagnosis("note", "Fiji and ImageJ", 'no bridge: pip install "carezoo[fiji]"')]
    try:
        from carezoo_fiji import java, launch
    except MissingExtraError as error:  # listed as installed, and does not load
        return [Diagnosis("problem", "Fiji and ImageJ", str(error))]

    library, jar = java.find_java(), java.find_jar()
    found = [
        Diagnosis("fact", "java", str(library)) if library else Diagnosis("note", "java", f"none. {java.ADVICE_JAVA}")
    ]
    try:
        fiji = launch.find_fiji()
    except InputError as error:
        return [*found, Diagnosis("problem", "Fiji", str(error))]
    if fiji is None:
        found.append(Diagnosis("note", "Fiji", f"none found; set {launch.VARIABLE} to its folder"))
    elif missing := launch.missing_jars(fiji):
        text = f"{fiji} lacks {' and '.join(missing)} in jars; pyimagej will fetch them from the internet"
        found.append(Diagnosis("note", "Fiji", text))
    else:
        found.append(Diagnosis("fact", "Fiji", str(fiji)))
    text = str(jar) if jar else f"none found. {java.ADVICE_JAR}"
    return [*found, Diagnosis("fact" if jar else "note", "ImageJ 1.x", text)]


def _models() -> Diagnosis:
    try:
        entries = zoo.open_embedded().index().newest()
    except ZooError as error:
        return Diagnosis("problem", "models that ship", str(error))
    text = ", ".join(f"{entry.model} {entry.version}" for entry in entries)
    return Diagnosis("fact" if entries else "problem", "models that ship", text or "none found")


def _zoos() -> list[Diagnosis]:
    pulled = cache.list_pulled()
    n_bytes = sum(each.size for each in pulled)
    held = f"{len(pulled)} pulled model(s), {n_bytes / 1e6:.1f} MB" if pulled else "nothing pulled yet"
    configured = ", ".join(each.name for each in zoo.list_zoos()) or f"none ({zoo.VARIABLE} is not set)"
    return [Diagnosis("fact", "cache", f"{cache.folder()}: {held}"), Diagnosis("fact", "zoos", configured)]


@click.command("demo")
@declared.folder_option("folder", "Folder for the results.", default="demo", show_default=True)
def demo_command(folder: Path) -> None:
    """Restore a real noisy image, score it against a long exposure of the same cell, and draw all three."""
    images = zoo.open_embedded().folder / "demo"
    noisy, clean = files.open_image(images / "noisy.tif"), files.open_image(images / "clean.tif")
    restoration = carezoo.load(DEMO_MODEL).restore(noisy)
    make_folder(folder)
    run = restoration.report.provenance
    files.write_image(folder / "restored.tif", restoration.images["mean"], {"carezoo": {"run": run.to_dict()}})
    arrays = [np.asarray(image, np.float32) for image in (noisy.array(), restoration.mean, clean.array())]
    before, after = (carezoo.score(array, arrays[2]) for array in arrays[:2])
    before_after(*arrays, path=folder / "before_after.png", pixel_size_um=noisy.pixel_size_um.get("X"))
    click.echo(f"model {run.model} {run.version}, {run.provider} {run.precision}, {restoration.report.seconds:.2f} s")
    click.echo(f"{'':<16}{'PSNR (dB)':>10}{'NRMSE':>10}{'SSIM':>10}")
    for name, scores in (("noisy", before), ("restored", after)):
        click.echo(f"{name:<16}{scores.psnr_db:>10.2f}{scores.nrmse:>10.4f}{scores.ssim:>10.3f}")
    click.echo(f"written: {folder / 'restored.tif'}, {folder / 'before_after.png'}")
