"""Scores without clean images: how near the truth they are, what is refused, and what a wrong noise does to a training.

Simulated images have an exact truth. The trainings are small ones (`N_STEPS` steps of a small network on the noisy
images themselves, as `carezoo train` does it), with the check of the noise left out. Figures on real images need
CAREZOO_DATA; there single frames are compared with estimates from repeated ones, which need no noise at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.figures import Figure
from carezoo.errors import DataError
from carezoo.evaluate import classical
from carezoo.evaluate.assessment import RESTORED
from carezoo.evaluate.estimated import estimate_scores
from carezoo.image import Image
from carezoo.noise.assumption import check_assumption
from carezoo.noise.estimate import ThinnedFrame, summarize
from carezoo.noise.measure import fit_planes
from carezoo.noise.thin import Noise, thin
from carezoo.package.read import open_package

Floats = NDArray[np.float32]

NOISE = Noise(gain=2.0, offset=100.0)
N_SCENES, N_FRAMES, SIDE = 5, 4, 256
N_TRAINED, N_STEPS, PATCH = 6, 200, 48

METHODS: Mapping[str, Callable[[Floats], Floats]] = {
    "input": lambda image: image,
    "Gaussian of 2 pixels": lambda image: classical.gaussian(image, 2.0),
    "Gaussian of 5 pixels": lambda image: classical.gaussian(image, 5.0),
    "median of 5 pixels": lambda image: classical.median(image, 5),
    "non-local means": lambda image: classical.nlm(image, 0.6, 5, is_root=True),
}

MODEL = Path(__file__).parents[1] / "zoo" / "packages" / "denoise-nuclei-confocal-2d-1.2.0.zip"


def figures() -> Iterator[Figure]:
    yield from estimates()
    yield from refusals()
    yield from wrong_noise()
    if "CAREZOO_DATA" not in os.environ:
        yield Figure("estimates from single frames and from repeats", None, note="needs CAREZOO_DATA")
        return
    yield from real_images(Path(os.environ["CAREZOO_DATA"]))


def scene(seed: int, photons: float = 30.0) -> NDArray[np.float64]:
    """Return expected grey levels: a smooth background with fine spots."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((SIDE, SIDE)), 4)
    spots = ndimage.gaussian_filter((rng.random((SIDE, SIDE)) > 0.997).astype(float), 1.5)
    light = 0.6 * ((smooth - smooth.min()) / np.ptp(smooth)) ** 2 + 0.6 * spots / spots.max()
    return np.asarray(NOISE.gain * (2 + photons * light) + NOISE.offset)


def record(clean: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Return a frame with shot noise."""
    return (NOISE.gain * rng.poisson((clean - NOISE.offset) / NOISE.gain) + NOISE.offset).astype(np.float32)


def estimates() -> Iterator[Figure]:
    """Yield how far estimates from single groups of frames are off, with noise that is given and that is measured."""
    for words, is_given in (("given", True), ("measured on the images", False)):
        errors, pulls, ranks = [], [], []
        for number in range(N_SCENES):
            rng = np.random.default_rng(1000 + number)
            clean = [scene(N_FRAMES * number + i) for i in range(N_FRAMES)]
            frames = [record(each, rng) for each in clean]
            noise = NOISE if is_given else fit_planes(frames)
            true, found = [], []
            for method in METHODS.values():
                held_out = [ThinnedFrame.deal_out(each, noise, rng) for each in frames]
                each_found = [summarize(one.errors(*map(method, one.sources))) for one in held_out]
                true.append(np.mean([(method(a) - b) ** 2 for a, b in zip(frames, clean, strict=True)]))
                found.append(np.mean([one.value for one in each_found]))
                own = np.sqrt(np.sum([one.se**2 for one in each_found])) / N_FRAMES
                common = noise.variance_se(float(np.mean(frames)))
                pulls.append((found[-1] - true[-1]) / np.hypot(own, common))
            errors += (10 * np.log10(np.maximum(found, 1e-9) / true)).tolist()
            ranks.append(np.argsort(true).tolist() == np.argsort(found).tolist())
        note = f"{N_SCENES} groups of {N_FRAMES} frames of {SIDE}x{SIDE}, {len(METHODS)} methods"
        yield Figure(
            f"estimated error, noise {words}: off by, on average",
            float(np.mean(np.abs(errors))),
            "dB",
            at_most=0.5,
            note=note,
        )
        yield Figure(f"  off by at most {2:g} dB", 100 * float(np.mean(np.abs(errors) < 2)), "%")
        yield Figure("  within 1.64 standard errors", 100 * float(np.mean(np.abs(pulls) < 1.64)), "%", at_least=90)
        yield Figure(f"  {len(METHODS)} methods ranked as by the truth", 100 * float(np.mean(ranks)), "%", at_least=100)


def spoil(kind: str, clean: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Return a frame whose noise is what a training must not be given."""
    noisy = record(clean, rng)
    if kind == "blurred by 0.7 pixels":
        return clean.astype(np.float32) + classical.gaussian(noisy - clean.astype(np.float32), 0.7)
    if kind == "lines off by 5 % of the mean":
        light = float(clean.mean()) - NOISE.offset
        return noisy + (0.05 * light * rng.standard_normal((SIDE, 1))).astype(np.float32)
    return noisy


SPOILED = ("blurred by 0.7 pixels", "lines off by 5 % of the mean")


def refusals() -> Iterator[Figure]:
    """Yield how often images are refused whose noise is not independent, and such whose noise is."""
    for kind, promise in (*((kind, {"at_least": 100.0}) for kind in SPOILED), ("independent", {"at_most": 0.0})):
        rng = np.random.default_rng(5)
        refused = []
        for seed in range(20):
            image = Image(spoil(kind, scene(seed, photons=(10.0, 30.0, 100.0)[seed % 3]), rng), "YX")
            try:
                check_assumption([image], noise=None if seed % 3 else NOISE)
            except DataError as error:
                refused.append("correlated" in str(error) or "lines" in str(error) or kind == "independent")
            else:
                refused.append(False)
        yield Figure(
            f"images refused, noise {kind}",
            100 * float(np.mean(refused)),
            "%",
            note="20 images, 4 to 19 photoelectrons a pixel",
            **promise,
        )


def wrong_noise() -> Iterator[Figure]:
    """Yield how much noise small trainings remove, with right and wrong noise, and without the check."""
    wrong = {
        "right": NOISE,
        "gain twice as large": replace(NOISE, gain=2 * NOISE.gain),
        "gain half as large": replace(NOISE, gain=NOISE.gain / 2),
        "offset 10 % too high": replace(NOISE, offset=1.1 * NOISE.offset),
        "offset 10 % too low": replace(NOISE, offset=0.9 * NOISE.offset),
    }
    for words, noise in wrong.items():
        removed, kept = train_and_judge("independent", noise)
        note = f"against the truth; {100 * kept:.0f} % of the noise kept"
        yield Figure(f"training with the noise {words}: error lower by", removed, "dB", note=note)
    for kind in SPOILED:
        removed, kept = train_and_judge(kind, NOISE)
        name = f"training without the check, noise {kind}: error lower by"
        yield Figure(
            name, removed, "dB", note=f"against the truth; {100 * kept:.0f} % of the {kind.split()[0]} part kept"
        )


def train_and_judge(kind: str, noise: Noise) -> tuple[float, float]:
    """Train on noisy frames of one kind, thinned by `noise`; return by how many dB the error falls, and the noise kept.

    Kept is the share of the noise, or of that of whole lines, that is in the restored images still.
    """
    rng = np.random.default_rng(7)
    clean = np.stack([scene(seed) for seed in range(N_TRAINED)])
    frames = [spoil(kind, each, rng) for each in clean]
    before, after = np.stack(frames) - clean, np.stack(restore_after_training(frames, noise, rng)) - clean
    removed = float(10 * np.log10(np.square(before).mean() / np.square(after).mean()))
    if kind.startswith("lines"):
        before, after = (each.mean(axis=2) - each.mean(axis=(1, 2))[:, None] for each in (before, after))
    return removed, float((before * after).sum() / np.square(before).sum())


def restore_after_training(frames: Sequence[Floats], noise: Noise, rng: np.random.Generator) -> list[Floats]:
    """Return frames as a network restores them that was trained on them alone."""
    import torch

    from carezoo.train import losses
    from carezoo.train.networks.unet import UNet

    torch.manual_seed(0)
    low, high = np.percentile(np.stack(frames), (1, 99.9))
    width = float(high - low)
    network = UNet("YX", 1, 1, depth=2, kernel=3, n_first=8, is_residual=True, is_probabilistic=True)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_STEPS)
    slope, intercept = noise.line
    for _ in range(N_STEPS):
        source, target, line = [], [], []
        for _ in range(4):
            y, x = rng.integers(0, SIDE - PATCH, 2)
            share = float(rng.uniform(0.5, 0.9))
            parts = thin(frames[rng.integers(len(frames))][y : y + PATCH, x : x + PATCH], noise, share, rng)
            source.append((parts[0] - low) / width)
            target.append((parts[1] - low) / width)
            line.append([slope / width / (1 - share), (slope * low + intercept) / width**2 / (1 - share)])
        batch = [torch.from_numpy(np.asarray(each, np.float32)[:, None]) for each in (source, target, line)]
        optimizer.zero_grad()
        losses.noisy(network(batch[0]), batch[1], batch[2]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        inputs = (np.stack(frames)[:, None] - low) / width
        outputs = network(torch.from_numpy(inputs.astype(np.float32)))[:, 0].numpy()
    return [each * width + low for each in outputs]


def real_images(data: Path) -> Iterator[Figure]:
    """Yield what single frames say, beside estimates from repeated frames of the same scenes."""
    model = open_package(MODEL)
    for kind in ("fmd_confocal_nuclei", "photon_counting_repeats"):
        folder = data / kind / "repeats" if (data / kind / "repeats").exists() else data / kind
        movies = [tifffile.imread(path)[:12] for path in sorted(folder.glob("*.tif"))][-4:]
        first = [Image(movie[0], "YX") for movie in movies]
        found = {
            "single frames": estimate_scores(model, first),
            "repeats": estimate_scores(model, [Image(movie, "TYX") for movie in movies], most_frames=2),
        }
        for words, one in found.items():
            best = one.best_filter
            assert best is not None
            assert best.behind is not None
            removed = one.methods[RESTORED]
            note = f"{one.how}; noise removed by the model {removed.removed_db:.1f} ± {removed.removed_se_db:.1f} dB"
            name = f"{kind}, {words}: {best.title} behind {model.manifest.id}"
            yield Figure(name, 100 * best.behind.value, "% of the noise", note=f"± {100 * best.behind.se:.2f}; {note}")
