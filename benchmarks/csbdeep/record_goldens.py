"""Record golden numbers from CSBDeep 0.8.2 with tiny networks of fixed random weights.

Runs only in the environment of ``requirements.txt`` beside this file, never in carezoo's own::

    python benchmarks/csbdeep/record_goldens.py                           # cases written by Keras 3
    TF_USE_LEGACY_KERAS=1 python benchmarks/csbdeep/record_goldens.py     # cases written by Keras 2
    python benchmarks/csbdeep/record_goldens.py --check                   # record again elsewhere and compare

Keras 2 and 3 cannot live in one process, and CSBDeep models of most labs were written by Keras 2; a run records the
cases that belong to the Keras it finds. Every case becomes a folder in ``tests/golden/csbdeep`` holding CSBDeep's own
model folder (``config.json``, ``weights_best.h5``) and ``golden.npz``; the README there lists the keys.
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before TensorFlow is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import numpy as np
import tensorflow as tf
from csbdeep.data import PadAndCropResizer, PercentileNormalizer
from csbdeep.models import CARE, Config, IsotropicCARE, ProjectionCARE, ProjectionConfig, UpsamplingCARE
from csbdeep.utils.tf import IS_KERAS_3_PLUS, keras_import
from random_weights import draw_weights
from scipy.ndimage import gaussian_filter

GOLDEN_FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "csbdeep"
MODELS = {
    "CARE": CARE,
    "IsotropicCARE": IsotropicCARE,
    "ProjectionCARE": ProjectionCARE,
    "UpsamplingCARE": UpsamplingCARE,
}
MAX_CASE_BYTES, MAX_TOTAL_BYTES = 150_000, 1_500_000


@dataclass(frozen=True)
class Case:
    """One tiny model, the image it restores and the block its bare network sees."""

    model_class: str
    config: dict[str, Any]
    axes: str
    shape: tuple[int, ...]
    network_shape: tuple[int, ...]  # spatial, a multiple of the divisor
    seed: int
    factor: float | None = None
    percentiles: tuple[float, float] = (2, 99.8)
    head_mean: float = 0.0
    head_spread: float = 0.2  # of what the network adds to its input
    # Keras numbers layers without a name per process ("conv2d_9"): a lab's file rarely starts at 0, and names do not
    # sort as numbers do.
    n_layers_before: int = 0
    is_keras_2: bool = False

    @property
    def spatial_axes(self) -> str:
        """The network's axes without channels."""
        return self.config["axes"]

    def target(self, layer: Any) -> tuple[float, float]:
        """Mean and spread wanted of a layer's response before its activation."""
        is_head = layer.kernel_size[0] == 1
        return {
            "relu": (0.25, 0.5),
            "softplus": (-1.5, 0.7),
            "linear": (self.head_mean, self.head_spread) if is_head else (0.0, 2.0),  # else: logits of the surface
        }[layer.activation.__name__]


FACTOR = 4.0

# Few filters, and images of odd sizes no larger than the checks below need: these files live in the repository.
CASES = {
    "care2d": Case("CARE", {"axes": "YX", "unet_n_first": 2}, "YX", (31, 41), (24, 32), seed=1),
    "care2d_keras2": Case(
        "CARE", {"axes": "YX", "unet_n_first": 2}, "YX", (31, 41), (24, 32), seed=1, n_layers_before=9, is_keras_2=True
    ),
    "care2d_d3k3": Case(
        "CARE",
        {"axes": "YX", "unet_n_first": 2, "unet_n_depth": 3, "unet_kern_size": 3},
        "YX",
        (31, 41),
        (24, 32),
        seed=2,
    ),
    "care2d_two_channels": Case(
        "CARE",
        {"axes": "YX", "n_channel_in": 2, "n_channel_out": 2, "unet_n_first": 2},
        "CYX",
        (2, 25, 33),
        (20, 28),
        seed=3,
    ),
    "care2d_1to2": Case(
        "CARE", {"axes": "YX", "n_channel_out": 2, "unet_n_first": 2}, "YX", (31, 41), (24, 32), seed=4
    ),
    "care2d_relu_xy": Case(
        "CARE",
        {"axes": "YX", "unet_n_first": 2, "unet_last_activation": "relu"},
        "XY",
        (31, 41),
        (24, 32),
        seed=5,
        percentiles=(1, 99),
    ),
    "care2d_probabilistic": Case(
        "CARE",
        {"axes": "YX", "probabilistic": True, "unet_n_first": 2},
        "YX",
        (31, 41),
        (24, 32),
        seed=6,
        n_layers_before=9,
    ),
    "care3d": Case("CARE", {"axes": "ZYX", "unet_n_first": 2}, "ZYX", (7, 17, 21), (8, 12, 16), seed=7),
    "care3d_probabilistic": Case(
        "CARE", {"axes": "ZYX", "probabilistic": True, "unet_n_first": 2}, "ZYX", (7, 15, 19), (8, 12, 16), seed=508
    ),
    "isotropic": Case(
        "IsotropicCARE",
        {"axes": "YX", "unet_n_first": 2},
        "ZYX",
        (5, 11, 15),
        (20, 28),
        seed=9,
        factor=FACTOR,
        head_mean=0.15,
    ),
    "isotropic_two_channels": Case(
        "IsotropicCARE",
        {"axes": "YX", "n_channel_in": 2, "n_channel_out": 2, "unet_n_first": 2},
        "ZCYX",
        (4, 2, 9, 13),
        (20, 28),
        seed=10,
        factor=FACTOR,
        head_mean=0.15,
    ),
    "isotropic_probabilistic": Case(
        "IsotropicCARE",
        {"axes": "YX", "probabilistic": True, "unet_n_first": 2},
        "ZYX",
        (5, 11, 13),
        (20, 28),
        seed=11,
        factor=FACTOR,
        head_mean=0.15,
    ),
    "upsampling": Case(
        "UpsamplingCARE", {"axes": "ZYX", "unet_n_first": 2}, "ZYX", (5, 11, 15), (8, 12, 16), seed=312, factor=FACTOR
    ),
    "projection": Case(
        "ProjectionCARE", {"axes": "ZYX", "unet_n_first": 2, "proj_n_filt": 2}, "ZYX", (5, 19, 29), (3, 32, 32), seed=13
    ),
    "projection_keras2": Case(
        "ProjectionCARE",
        {"axes": "ZYX", "unet_n_first": 2, "proj_n_filt": 2},
        "ZYX",
        (5, 19, 29),
        (3, 32, 32),
        seed=13,
        n_layers_before=5,
        is_keras_2=True,
    ),
    "projection_probabilistic": Case(
        "ProjectionCARE",
        {"axes": "ZYX", "probabilistic": True, "unet_n_first": 2, "proj_n_filt": 2},
        "ZYX",
        (5, 19, 29),
        (3, 32, 32),
        seed=414,
        n_layers_before=5,
    ),
}


# ---- images -------------------------------------------------------------------------------------------------------


def synthetic_image(axes: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Blobs of several sizes on an uneven background with shot noise; uint16 between about 100 and 3000."""
    if "C" in axes:
        channel = axes.index("C")
        spatial = shape[:channel] + shape[channel + 1 :]
        channels = [synthetic_image(axes.replace("C", ""), spatial, rng) for _ in range(shape[channel])]
        # Different gains, so that joint and per-channel normalisation differ.
        return np.stack([c // (i + 1) + 40 * i for i, c in enumerate(channels)], axis=channel).astype(np.uint16)
    blobs = np.zeros(shape)
    for sigma in (0.7, 1.5, 3.0):
        volume = (2 * np.pi * sigma**2) ** (len(shape) / 2)
        points = (rng.random(shape) < 0.1 / volume) * rng.uniform(0.3, 1.0, shape)
        blobs += gaussian_filter(points, sigma, mode="nearest") * volume
    background = 0.1 * np.linspace(0, 1, shape[-1])
    photons = rng.poisson(40 * np.minimum(blobs, 1.5) + 10 * background)
    return np.clip(np.rint(150 + 45 * photons + rng.normal(0, 12, shape)), 100, 3000).astype(np.uint16)


# ---- models -------------------------------------------------------------------------------------------------------


def make_model(case: Case, folder: Path) -> CARE:
    """Write CSBDeep's model folder for a case and return the model as CSBDeep loads it from there."""
    tf.keras.backend.clear_session()  # layer names count from 0 again
    for _ in range(case.n_layers_before):
        keras_import("layers", "Conv2D")(1, 1)
        keras_import("layers", "Conv3D")(1, 1)
    config_class = ProjectionConfig if case.model_class == "ProjectionCARE" else Config
    model_class = MODELS[case.model_class]
    model = model_class(config_class(**case.config), folder.name, str(folder.parent))
    set_weights(case, model)
    model.keras_model.save_weights(str(folder / "weights_best.h5"))  # what CSBDeep's checkpoint callback does
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = model_class(None, folder.name, str(folder.parent))
    for ours, theirs in zip(model.keras_model.get_weights(), loaded.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    return loaded


def set_weights(case: Case, model: CARE) -> None:
    """Random weights, then each filter scaled and shifted so that some two thirds of its pixels pass the ReLU.

    A plain random ReLU network answers mostly to the mean of the image: many of its filters are zero everywhere,
    others linear everywhere, and wrong weights behind them would show in no golden number.
    """
    network = model.keras_model
    shapes = {weight_name(w): tuple(w.shape) for w in network.weights}
    network.set_weights(list(draw_weights(shapes, np.random.default_rng([case.seed, 0])).values()))
    rng = np.random.default_rng([case.seed, 1])
    axes = case.spatial_axes
    size = {2: (64, 64), 3: (16, 32, 32)}[len(axes)]
    x = network_input(axes, size, model.config.n_channel_in, rng)
    for part in [layer for layer in network.layers if hasattr(layer, "layers")] or [network]:
        for layer in part.layers:
            if layer.weights:
                kernel, bias = layer.get_weights()
                z = keras_import("models", "Model")(part.input, layer.input)(x)
                response = tf.nn.convolution(z, kernel, padding="SAME").numpy()
                layer.set_weights(calibrated(kernel, bias, response, *case.target(layer), rng))
        x = part(x)


def calibrated(
    kernel: np.ndarray, bias: np.ndarray, response: np.ndarray, mean: float, spread: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Scale a kernel and set its bias so that its response has the wanted mean and spread, with some scatter."""
    pixels = tuple(range(response.ndim - 1))
    # Rounded, so that the last bits of another machine's convolution do not reach the weights.
    gain = np.round(spread / response.std(axis=pixels), 3) * rng.uniform(0.8, 1.2, bias.shape)
    shift = np.round(mean - gain * response.mean(axis=pixels), 3) + rng.normal(0, 0.1 * spread, bias.shape)
    return [(kernel * gain).astype(np.float32), shift.astype(np.float32)]


def weight_name(weight: Any) -> str:
    """``layer/kernel`` or ``layer/bias`` in both Keras generations."""
    return getattr(weight, "path", weight.name).removesuffix(":0")


# ---- what CSBDeep sees and answers --------------------------------------------------------------------------------


class SeenNormalizer(PercentileNormalizer):
    """CSBDeep's normaliser, remembering what passed through."""

    def before(self, x: np.ndarray, axes: str) -> np.ndarray:
        """Normalise, and keep input and output."""
        self.seen = x
        self.normalized = super().before(x, axes)
        return self.normalized


class SeenResizer(PadAndCropResizer):
    """CSBDeep's resizer, remembering what was padded."""

    def before(self, x: np.ndarray, axes: str, axes_div_by: tuple[int, ...]) -> np.ndarray:
        """Pad, and keep the unpadded input with its axes."""
        self.seen, self.seen_axes = x, axes
        return super().before(x, axes, axes_div_by)


@contextlib.contextmanager
def seen_batches(network: Any) -> Iterator[list[np.ndarray]]:
    """Collect what CSBDeep hands to the Keras network."""
    batches, predict = [], network.predict

    def remember(x: np.ndarray, **options: Any) -> np.ndarray:
        batches.append(x)
        return predict(x, **options)

    network.predict = remember
    try:
        yield batches
    finally:
        network.predict = predict


def record_predict(case: Case, model: CARE, image: np.ndarray) -> dict[str, Any]:
    """CSBDeep's own prediction, start to end, and the intermediate volumes it went through."""
    normalizer, resizer = SeenNormalizer(*case.percentiles), SeenResizer()
    options = {"normalizer": normalizer, "resizer": resizer}
    if case.factor is not None:
        options["factor"] = case.factor
    golden = {"predict_mean": model.predict(image, case.axes, **options)}
    if model.config.probabilistic:
        distribution = model.predict_probabilistic(image, case.axes, **options)
        np.testing.assert_array_equal(distribution.mean(), golden["predict_mean"])
        golden["predict_scale"] = distribution.scale()
    golden |= {
        "normalized": normalizer.normalized,
        "normalized_axes": normalizer.axes_before,
        "low": normalizer.mi.ravel(),
        "high": normalizer.ma.ravel(),
    }
    if case.model_class == "UpsamplingCARE":  # interpolates the raw image
        golden |= {"interpolated": normalizer.seen, "interpolated_axes": normalizer.axes_before}
    if case.model_class == "IsotropicCARE":  # interpolates the normalised image
        golden |= {"interpolated": resizer.seen, "interpolated_axes": resizer.seen_axes}
    return golden


def record_network(case: Case, model: CARE) -> dict[str, Any]:
    """The bare Keras network on one block, channels last as CSBDeep keeps it."""
    rng = np.random.default_rng([case.seed, 3])
    x = network_input(case.spatial_axes, case.network_shape, model.config.n_channel_in, rng)
    golden = {"network_in": x, "network_out": model.keras_model.predict(x, verbose=0)}
    if case.model_class == "ProjectionCARE":
        golden["network_projected"] = model.keras_model.layers[1].predict(x, verbose=0)
    return golden


def network_input(axes: str, shape: tuple[int, ...], n_channels: int, rng: np.random.Generator) -> np.ndarray:
    """A normalised synthetic block of shape (1, *shape, n_channels)."""
    block = synthetic_image(axes + "C", (*shape, n_channels), rng)
    return PercentileNormalizer().before(block, axes + "C")[np.newaxis]


# ---- checks: a golden that a wrong network could also reach is worth nothing --------------------------------------


def check_case(case: Case, model: CARE, golden: dict[str, Any], batches: list[np.ndarray]) -> None:
    """Raise unless every parameter moves an output and the outputs are neither trivial nor copies of the input."""
    dead = dead_parameters(case, model, [golden["network_in"], *batches])
    if dead:
        raise ValueError(f"parameters without influence: {dead}; take another seed or a larger block")
    n_out = model.config.n_channel_out
    x, mean = golden["network_in"], golden["network_out"][..., :n_out]
    source = golden.get("network_projected", x)
    change = (mean - source).std()
    if not 0.3 * source.std() < change < 3 * source.std() or np.abs(mean).max() > 5:
        raise ValueError(f"output not of order 1, or next to identity: source {source.std()}, change {change}")
    if "interpolated" in golden and case.model_class == "IsotropicCARE":
        floor = np.mean(np.isin(golden["predict_mean"], golden["low"]))
        if not 0.02 < floor < 0.4:
            raise ValueError(f"clamp at 0 hardly or mostly active: {floor:.0%} of the voxels")


def dead_parameters(case: Case, model: CARE, batches: list[np.ndarray]) -> dict[str, int]:
    """Count, per weight, the entries whose gradient is 0 on all batches."""
    weights = model.keras_model.trainable_weights
    alive = [np.zeros(tuple(w.shape), bool) for w in weights]
    rng = np.random.default_rng([case.seed, 4])
    for x in batches:
        with tf.GradientTape() as tape:
            y = model.keras_model(tf.constant(x))
            loss = tf.reduce_sum(y * rng.normal(size=y.shape).astype(np.float32))
        gradients = tape.gradient(loss, [getattr(w, "value", w) if IS_KERAS_3_PLUS else w for w in weights])
        alive = [a | (g.numpy() != 0) for a, g in zip(alive, gradients, strict=True)]
    return {weight_name(w): int(np.sum(~a)) for w, a in zip(weights, alive, strict=True) if not a.all()}


# ---- files --------------------------------------------------------------------------------------------------------


def record(case: Case, folder: Path) -> None:
    """Write one case's folder: model files by CSBDeep, ``golden.npz`` by us."""
    image = synthetic_image(case.axes, case.shape, np.random.default_rng([case.seed, 2]))
    model = make_model(case, folder)
    golden = {"image": image, "axes": case.axes, "model_class": case.model_class, "percentiles": case.percentiles}
    if case.factor is not None:
        golden["factor"] = case.factor
    with seen_batches(model.keras_model) as batches:
        golden |= record_predict(case, model, image)
    golden |= record_network(case, model)
    check_case(case, model, golden, batches)
    golden["recorded_with"] = versions()
    np.savez_compressed(folder / "golden.npz", **golden)
    n_bytes = sum(f.stat().st_size for f in folder.iterdir())
    if n_bytes > MAX_CASE_BYTES:
        raise ValueError(f"{folder.name} has {n_bytes} bytes, more than {MAX_CASE_BYTES}")
    print(f"{folder.name:28s} {n_bytes:7d} bytes  " + "  ".join(f"{k}{list(np.shape(v))}" for k, v in golden.items()))


def versions() -> str:
    """One line naming the software that made the numbers."""
    names = ["csbdeep", "tensorflow-cpu", "keras" if IS_KERAS_3_PLUS else "tf-keras", "numpy", "scipy", "h5py"]
    return ", ".join(f"{name} {version(name)}" for name in names)


def compare(folder: Path, reference: Path) -> list[str]:
    """Differences between a new recording and the stored one, as messages."""
    problems = []
    new_config, old_config = ((f / "config.json").read_text() for f in (folder, reference))
    if new_config != old_config:
        problems.append("config.json differs")
    new, old = arrays(folder), arrays(reference)
    if new.keys() != old.keys():
        problems.append(f"names differ: {sorted(new.keys() ^ old.keys())}")
    for name in sorted(new.keys() & old.keys()):
        if new[name].shape != old[name].shape or new[name].dtype != old[name].dtype:
            problems.append(f"{name}: {new[name].dtype}{new[name].shape} instead of {old[name].dtype}{old[name].shape}")
        elif not np.array_equal(new[name], old[name]):
            is_number = new[name].dtype.kind in "fiu"
            detail = f"by at most {np.abs(new[name].astype(float) - old[name]).max():.3g}" if is_number else ""
            problems.append(f"{name} differs {detail}")
    return problems


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a case, of ``golden.npz`` and of the weights file."""
    found = {}
    with np.load(folder / "golden.npz") as golden:
        found |= {key: golden[key] for key in golden.files}
    with h5py.File(folder / "weights_best.h5") as weights:
        weights.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="names of cases; all that belong to this Keras if none is given")
    parser.add_argument("--check", action="store_true", help="record into a temporary folder and compare")
    options = parser.parse_args()
    # One thread and fixed orders of summation: the same machine gives the same bits.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    names = options.cases or [name for name, case in CASES.items() if case.is_keras_2 != IS_KERAS_3_PLUS]
    is_different = False
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            folder = Path(scratch) / name
            record(CASES[name], folder)
            if options.check:
                problems = compare(folder, GOLDEN_FOLDER / name)
                is_different |= bool(problems)
                print("\n".join(f"  {problem}" for problem in problems) or "  equal")
            else:
                shutil.copytree(folder, GOLDEN_FOLDER / name, dirs_exist_ok=True)
    total = sum(f.stat().st_size for f in GOLDEN_FOLDER.rglob("*") if f.is_file())
    print(f"all cases {total} bytes")
    return int(is_different or total > MAX_TOTAL_BYTES)


if __name__ == "__main__":
    sys.exit(main())
