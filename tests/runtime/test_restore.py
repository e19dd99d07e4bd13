"""One path for every model: any axes, any size, any tile, and the numbers bare ONNX Runtime gives."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import packages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.errors import AxesError, Cancelled, InputError, ManifestError, OutOfMemoryError
from carezoo.image import Image, Metadata
from carezoo.intensity import Clip, MatchMoments, Standardize
from carezoo.package.manifest import OutputAxis
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime import postprocess, tile_size
from carezoo.runtime.restore import open_session, restore
from carezoo.runtime.session import Session
from carezoo.settings import Settings

OURS = [
    "denoise_2d",
    "probabilistic_2d",
    "fixed_2d",
    "two_channels_2d",
    "ensemble_2d",
    "denoise_3d",
    "upsample_3d",
    "project_3d",
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return packages by name, written once."""
    cache = {}

    def get(name):
        if name not in cache:
            folder = tmp_path_factory.mktemp(name)
            if name.startswith("foreign"):
                cache[name] = open_package(getattr(packages, name)(folder / name))
            else:
                cache[name] = open_package(write_package(getattr(packages, name)(), folder / f"{name}.zip"))
        return cache[name]

    return get


def _image_for(package, shape_yx=(45, 38), n_planes=7):
    channels = len(package.manifest.input.channels)
    axes = ("C" if channels > 1 else "") + package.manifest.spatial_axes
    sizes = {"C": channels, "Z": n_planes, "Y": shape_yx[0], "X": shape_yx[1]}
    return Image(packages.picture(tuple(sizes[letter] for letter in axes)), axes)


def _worst(first, second):
    """Return the largest difference, relative to the range of the restored image (disagreement: to 1)."""
    assert set(first.images) == set(second.images)
    worst = 0.0
    for name in first.images:
        a, b = first.images[name].array(), second.images[name].array()
        assert a.shape == b.shape
        width = 1.0 if name == "disagreement" else np.ptp(first.mean) + 1e-9
        worst = max(worst, float(np.abs(a - b).max() / width))
    return worst


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("tile", [1, 17, 32])
def test_tiled_equals_whole(opened, name, tile):
    package = opened(name)
    image = _image_for(package)
    whole = restore(image, package, Settings(tile="whole"))
    tiled = restore(image, package, Settings(tile=tile))
    assert tiled.report.provenance.n_tiles > 1
    assert whole.report.provenance.n_tiles == 1
    assert _worst(whole, tiled) <= 1e-5


def test_a_halo_one_step_short_is_seen(opened):
    package = opened("denoise_2d")
    rules = {letter: replace(rule, halo=rule.halo - rule.step) for letter, rule in package.manifest.input.rules.items()}
    short = replace(package.manifest, input=replace(package.manifest.input, rules=rules))
    image, session = _image_for(package), open_session(package, Settings())
    whole = restore(image, package, Settings(tile="whole"))
    tiled = restore(image, replace(package, manifest=short), Settings(tile=1), session=session)
    assert _worst(whole, tiled) > 1e-5


def test_the_numbers_are_those_of_bare_onnxruntime(opened):
    package = opened("denoise_2d")
    raw = packages.picture((64, 48))
    low, high = np.percentile(raw, (2, 99.8))
    normalized = ((raw - low) / (high - low + 1e-6)).astype(np.float32)
    expected = (
        packages.run(package.read_weights(), normalized[np.newaxis, np.newaxis])[0][0, 0] * (high - low + 1e-6) + low
    )
    restored = restore(Image(raw, "YX"), package).mean
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, atol=1e-5 * (high - low))


@settings(max_examples=25, deadline=None)
@given(y=st.integers(1, 40), x=st.integers(1, 40), tile=st.integers(1, 40))
def test_any_size_from_one_pixel_up(opened, y, x, tile):
    package = opened("denoise_2d")
    image = Image(packages.picture((50, 50))[:y, :x], "YX")
    whole, tiled = (restore(image, package, Settings(tile=t, n_threads=1)) for t in ("whole", tile))
    assert whole.mean.shape == (y, x)
    assert np.isfinite(whole.mean).all()
    np.testing.assert_allclose(tiled.mean, whole.mean, atol=1e-5 * (np.ptp(image.array()) + 1))


@pytest.mark.parametrize("axes", ["TCYX", "XY", "CYTX", "SZYX", "YXC", "ZCYX"])
def test_axes_of_any_order_are_looped_over(opened, axes):
    package = opened("denoise_2d")
    sizes = {"S": 2, "T": 3, "C": 2, "Z": 3, "Y": 21, "X": 18}
    image = Image(packages.picture(tuple(sizes[letter] for letter in axes)), axes)
    restored = restore(image, package)
    assert restored.axes == axes
    assert restored.mean.shape == image.shape
    # One channel of one sample alone gives the same: statistics are shared along T and Z, not along C and S.
    region = {letter: slice(1, 2) for letter in axes if letter in "CS"}
    alone = restore(image.crop(region), package).mean
    inside = tuple(region.get(letter, slice(None)) for letter in axes)
    np.testing.assert_allclose(restored.mean[inside], alone, rtol=1e-5)


def test_a_series_shares_its_statistics_unless_asked(opened):
    package = opened("denoise_2d")
    movie = np.stack([packages.picture((20, 20)), packages.picture((20, 20)) * 3])
    image = Image(movie, "TYX")
    single = restore(Image(movie[0], "YX"), package).mean
    per_frame = restore(image, package, Settings(is_per_frame=True)).mean
    series = restore(image, package).mean
    np.testing.assert_allclose(per_frame[0], single, rtol=1e-5)
    assert np.abs(series[0] - single).max() > 0.1


def test_results_with_other_sizes_say_where_they_are(opened):
    metadata = Metadata(origin_um={"Z": 10.0})
    image = replace(_image_for(opened("upsample_3d")), pixel_size_um={"Z": 2.5, "Y": 0.5, "X": 0.5}, metadata=metadata)
    up = restore(image, opened("upsample_3d")).images["mean"]
    assert up.sizes["Z"] == 7 * 5 // 2
    assert up.pixel_size_um["Z"] == pytest.approx(1.0)
    assert up.metadata.origin_um["Z"] == pytest.approx(10.0 + (1.0 - 2.5) / 2)
    flat = restore(image, opened("project_3d")).images["mean"]
    assert flat.axes == "YX"
    assert set(flat.pixel_size_um) == {"Y", "X"}


def test_several_results(opened):
    result = restore(_image_for(opened("ensemble_2d")), opened("ensemble_2d"))
    assert list(result.images) == ["mean", "scale", "disagreement"]
    assert result.disagreement.min() >= 0
    np.testing.assert_allclose(result.std, result.scale * np.sqrt(2), rtol=1e-6)
    with pytest.raises(InputError, match="gives no scale; it gives mean"):
        restore(_image_for(opened("denoise_2d")), opened("denoise_2d")).scale  # noqa: B018


def test_scales_get_the_gain_and_no_offset(opened):
    image = _image_for(opened("probabilistic_2d"))
    shifted = Image(image.array().astype(np.float32) * 2 + 1000, image.axes)
    first, second = (restore(i, opened("probabilistic_2d")) for i in (image, shifted))
    np.testing.assert_allclose(second.scale, first.scale * 2, rtol=1e-3)
    np.testing.assert_allclose(second.mean, first.mean * 2 + 1000, rtol=1e-4)


def test_integers_are_rounded_clipped_and_counted(opened):
    image = Image(packages.picture((40, 40)).astype(np.uint8), "YX")
    exact = restore(image, opened("denoise_2d")).mean
    result = restore(image, opened("denoise_2d"), Settings(dtype="input"))
    assert result.mean.dtype == np.uint8
    np.testing.assert_array_equal(result.mean, np.rint(exact).clip(0, 255))
    assert result.report.n_clipped == np.count_nonzero((np.rint(exact) < 0) | (np.rint(exact) > 255))


def test_a_lazy_image_is_read_in_regions(opened):
    class Lazy:
        shape, dtype, largest = (100, 90), np.dtype(np.uint16), 0
        array = packages.picture((100, 90))

        def __getitem__(self, key):
            block = self.array[key]
            self.largest = max(self.largest, block.size)
            return block

    lazy = Lazy()
    restored = restore(Image(lazy, "YX"), opened("denoise_2d"), Settings(tile=32)).mean
    np.testing.assert_allclose(restored, restore(Image(Lazy.array, "YX"), opened("denoise_2d")).mean, rtol=1e-4)


def test_axes_that_do_not_fit_are_told_apart(opened):
    with pytest.raises(AxesError, match=r"works along ZYX, but image has axes YX \(30, 30\): Z is missing"):
        restore(Image(packages.picture((30, 30)), "YX"), opened("denoise_3d"))
    with pytest.raises(AxesError, match=r"takes 2 channels together .* but image has 3"):
        restore(Image(packages.picture((3, 30, 30)), "CYX"), opened("two_channels_2d"))


def test_running_out_of_memory_takes_smaller_tiles_and_gives_the_same(opened, monkeypatch):
    package = opened("denoise_2d")
    image = Image(packages.picture((90, 90)), "YX")
    expected, run = restore(image, package).mean, Session.run

    def fails_on_large(self, x, outputs=None):
        if x.size > 30 * 30:
            raise OutOfMemoryError("no memory")
        return run(self, x, outputs)

    monkeypatch.setattr(Session, "run", fails_on_large)
    result = restore(image, package)
    np.testing.assert_allclose(result.mean, expected, rtol=1e-4)
    assert "did not fit into memory" in result.report.warnings[-1]
    monkeypatch.setattr(Session, "run", lambda *_: (_ for _ in ()).throw(OutOfMemoryError("no memory")))
    with pytest.raises(OutOfMemoryError, match="not even the smallest tile"):
        restore(image, package)


def test_cancelling_and_progress(opened):
    seen = []
    image = Image(packages.picture((2, 60, 60)), "TYX")
    restore(image, opened("denoise_2d"), Settings(tile=30), progress=lambda *step: seen.append(step))
    assert seen[-1] == (7200, 7200, "image")
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    with pytest.raises(Cancelled, match="nothing was written"):
        restore(image, opened("denoise_2d"), cancelled=lambda: True)


@pytest.mark.parametrize(
    "name",
    [
        "foreign_04",
        "foreign_04_valid",
        "foreign_04_fixed",
        "foreign_05",
        "foreign_05_fixed",
        "foreign_05_valid",
        "foreign_05_two",
        "foreign_05_data",
    ],
)
def test_packages_nobody_here_made(opened, name):
    package = opened(name)
    image = _image_for(package, (75, 62))
    restored = restore(image, package)
    for result in restored.images.values():
        assert result.shape == image.shape
        assert np.isfinite(result.array()).all()
    if "fixed" not in name:
        assert _worst(restored, restore(image, package, Settings(tile=32))) <= 1e-4


def test_automatic_tiles_fit_the_budget_and_waste_little():
    from carezoo.tiling import AxisRule

    rules = [AxisRule(4, 4, 44)] * 2
    plan = tile_size.automatic((2048, 2048), rules, 500, 640 << 20)
    assert np.prod(plan.tile_shape) * 500 <= 640 << 20
    assert plan.halo_share < 0.15
    volume = tile_size.automatic((64, 2048, 2048), [AxisRule(4, 4, 24)] * 3, 500, 640 << 20)
    assert np.prod(volume.tile_shape) * 500 <= 640 << 20
    assert tile_size.automatic((64, 64), rules, 500, 1).tile_shape == (64, 64)
    with pytest.raises(InputError, match="tile 1,2,3 has 3 sizes; the model works along YX"):
        tile_size.plan_given((64, 64), rules, (1, 2, 3), "YX")


@pytest.mark.parametrize("name", ["foreign_04_fixed", "foreign_05_fixed"])
def test_a_network_of_one_size_is_tiled_even_if_asked_not_to(opened, name):
    package = opened(name)
    restored = restore(_image_for(package, (75, 62)), package, Settings(tile="whole"))
    assert restored.mean.shape == (75, 62)
    assert restored.report.provenance.n_tiles > 1


def test_remarks_on_a_package_reach_the_user(opened):
    package = opened("foreign_04_fixed")
    assert package.manifest.remarks
    restored = restore(_image_for(package, (75, 62)), package)
    assert set(package.manifest.remarks) <= set(restored.report.warnings)


def test_a_graph_that_contradicts_its_manifest_is_named(opened):
    package = opened("denoise_2d")
    wrong = replace(package.manifest.outputs[0], sizes={"Y": OutputAxis(), "X": OutputAxis(Fraction(2))})
    package = replace(package, manifest=replace(package.manifest, outputs=(wrong,)))
    image = Image(packages.picture((20, 30)), "YX", name="image")
    said = r"restored of shape \(1, 1, 20, 30\), its manifest says \(1, 1, 20, 60\)"
    with pytest.raises(ManifestError, match=said):
        restore(image, package, Settings(provider="cpu"))


def _made_for(package, size):
    manifest = replace(package.manifest, input=replace(package.manifest.input, pixel_size_um=size))
    return replace(package, manifest=manifest)


@pytest.mark.parametrize(("z", "is_odd"), [(1.0, False), (1.1, False), (0.4, True), (5.0, True), (None, False)])
def test_voxels_that_contradict_the_factor_are_told_with_both_numbers(opened, z, is_odd):
    package = _made_for(opened("upsample_3d"), {"Z": 1.0, "Y": 0.25, "X": 0.25})
    size = {"Y": 0.25, "X": 0.25} | ({} if z is None else {"Z": z})
    image = Image(packages.picture((4, 20, 24)), "ZYX", size, name="stack")
    warnings = " ".join(restore(image, package, Settings(provider="cpu")).report.warnings)
    assert (f"{4 * (z or 0):.3g} times as long as along X" in warnings) is is_odd
    assert ("is made for 4 times" in warnings) is is_odd


@pytest.mark.parametrize(("z", "is_odd"), [(0.7, False), (0.4, True), (None, False)])
def test_voxels_that_would_become_finer_than_pixels_are_told_where_the_model_names_no_size(opened, z, is_odd):
    size = {"Y": 0.25, "X": 0.25} | ({} if z is None else {"Z": z})
    image = Image(packages.picture((4, 20, 24)), "ZYX", size, name="stack")
    warnings = restore(image, _made_for(opened("upsample_3d"), {}), Settings(provider="cpu")).report.warnings
    told = "stack: along Z its voxels are 1.6 times as long as along X, and model test-upsample puts 2.5 in the place"
    assert [warning.startswith(told) for warning in warnings] == ([True] if is_odd else [])


@pytest.mark.parametrize(("edge", "is_odd"), [(0.1, False), (0.12, False), (0.2, True), (0.05, True), (None, False)])
def test_another_pixel_size_than_the_recorded_one_is_told_with_both_numbers(opened, edge, is_odd):
    size = {} if edge is None else {"Y": 0.1, "X": edge}
    image = Image(packages.picture((20, 24)), "YX", size, name="cell")
    warnings = restore(image, _made_for(opened("denoise_2d"), {"Y": 0.1, "X": 0.1})).report.warnings
    told = f"cell: its pixel size along X is {edge} µm, model test-2d is made for 0.1 µm. Check the pixel size"
    assert [warning.startswith(told) for warning in warnings] == ([True] if is_odd else [])


@pytest.mark.parametrize(
    ("name", "does"), [("upsample_3d", "puts 2.5 in the place of each"), ("project_3d", "makes one out of all of them")]
)
def test_one_plane_is_no_stack(opened, name, does):
    said = rf"needs at least 2 positions along Z \({does}\), but cell has 1: axes TZYX \(3, 1, 24, 20\).*model for TYX"
    with pytest.raises(AxesError, match=said):
        restore(Image(packages.picture((3, 1, 24, 20)), "TZYX", name="cell"), opened(name))
    assert restore(Image(packages.picture((2, 24, 20)), "ZYX"), opened(name)).mean.shape[-2:] == (24, 20)
    assert restore(Image(packages.picture((1, 24, 20)), "ZYX"), opened("denoise_3d")).mean.shape == (1, 24, 20)


@pytest.mark.parametrize(("pixels", "dtype"), [(bool, "input"), (np.uint8, "foo"), (np.uint8, "U5")])
def test_types_that_restored_values_cannot_have_are_refused(opened, pixels, dtype):
    image = Image(np.eye(40).astype(pixels), "YX")
    with pytest.raises(InputError, match=r"expected a type such as|cannot be of type"):
        restore(image, opened("denoise_2d"), Settings(dtype=dtype))


def test_operations_after_the_network_keep_their_order(opened):
    output = opened("denoise_2d").manifest.outputs[0]
    output = replace(output, postprocessing=(Standardize(), Clip(0.0, 1.0)))
    values = np.random.default_rng(0).normal(100, 30, (1, 20, 20)).astype(np.float32)
    first = postprocess.at_once(output).apply(values)
    assert np.array_equal(first, values)
    finished = postprocess.finish(first, output, [])
    assert finished == pytest.approx(((values - values.mean()) / values.std()).clip(0, 1), abs=1e-4)


def test_moments_of_all_channels_together_keep_how_channels_differ(opened):
    output = opened("denoise_2d").manifest.outputs[0]
    output = replace(output, postprocessing=(MatchMoments(is_per_channel=False),))
    rng = np.random.default_rng(0)
    values, raw = (rng.normal([[[low]], [[low + 5]]], 1, (2, 20, 20)).astype(np.float32) for low in (0, 100))
    finished = postprocess.finish(values, output, [lambda one=one: [one] for one in raw])
    expected = (values - values.mean()) / values.std() * raw.std() + raw.mean()
    assert finished == pytest.approx(expected, rel=1e-4)
