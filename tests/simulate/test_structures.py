"""Structures have the statistics they were asked for."""

import math

import numpy as np
import pytest
from scipy import ndimage

from carezoo.errors import RecipeError
from carezoo.schema.span import Span
from carezoo.simulate import rendering
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import FieldOfView
from carezoo.simulate.structures import background, epithelium, granules, nuclei, tubules
from carezoo.simulate.structures.background import Background, draw_perlin
from carezoo.simulate.structures.epithelium import Epithelium
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.nuclei import Nuclei
from carezoo.simulate.structures.tubules import Tubules


def fixed(value):
    return Span(value, value)


def canvas(shape=(256, 256), pixel_um=(0.1, 0.1), reach_um=None):
    return rendering.plan_canvas(FieldOfView(shape, pixel_um), pixel_um, reach_um or tuple(4 * p for p in pixel_um))


def area_um2(where):
    return where.field.extent_um[-1] * where.field.extent_um[-2]


# Tubules


@pytest.mark.parametrize("persistence_um", [5.0, 20.0, 60.0])
@pytest.mark.parametrize("shape", [(256, 256), (60, 256, 256)])
def test_persistence_length_is_the_one_asked_for(persistence_um, shape):
    """<cos(angle)> over a contour length s is exp(-s / 2P) in the plane, exp(-s / P) in space."""
    n_axes = len(shape)
    rng = np.random.default_rng(4)
    directions = np.zeros((3000, n_axes))
    directions[:, -1] = 1.0
    step = persistence_um / 50
    chains = tubules._draw_chains(directions, 100, step, persistence_um, rng)
    tangents = np.diff(chains, axis=1) / step
    assert np.linalg.norm(tangents, axis=2) == pytest.approx(1.0, abs=1e-6)
    lag = 25
    cosine = (tangents[:, lag:] * tangents[:, :-lag]).sum(axis=2).mean()
    measured = -lag * step / math.log(cosine) / (2 if n_axes == 2 else 1)
    assert measured == pytest.approx(persistence_um, rel=0.05)


@pytest.mark.parametrize("density", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("radiating", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(200, 256), (20, 128, 128)])
def test_tubule_density_is_the_one_asked_for(density, radiating, shape):
    where = canvas(shape, (0.3, 0.1, 0.1)[-len(shape) :])
    plain = Tubules(
        density=fixed(density), radiating=fixed(radiating), brightness_spread=0.0, label_spread=0.0, length_spread=0.3
    )
    emitters, parameters = tubules.emit(plain, where, np.random.default_rng(1))
    # A unit of light a micrometre.
    assert emitters.light.sum() / area_um2(where) == pytest.approx(density, rel=0.02)
    assert parameters["density"] == density


def test_uneven_brightness_keeps_the_mean_light():
    where = canvas()
    light = [
        tubules.emit(Tubules(density=fixed(1.0)), where, np.random.default_rng(seed))[0].light.sum()
        for seed in range(30)
    ]
    assert np.mean(light) / area_um2(where) == pytest.approx(1.0, rel=0.05)


def test_random_tubules_fill_the_field_evenly_and_radiating_ones_do_not():
    where = canvas((256, 256))

    def unevenness(radiating):
        values = []
        for seed in range(10):
            described = Tubules(density=fixed(1.5), radiating=fixed(radiating), n_centres=fixed(1.0))
            emitters, _ = tubules.emit(described, where, np.random.default_rng(seed))
            counts, *_ = np.histogram2d(*emitters.position_um.T, bins=4, weights=emitters.light)
            values.append(counts.std() / counts.mean())
        return np.mean(values)

    assert unevenness(1.0) > 1.5 * unevenness(0.0)


def test_tubules_in_a_volume_stay_in_their_slab():
    where = canvas((40, 100, 100), (0.2, 0.1, 0.1))
    emitters, _ = tubules.emit(Tubules(thickness_um=fixed(2.0)), where, np.random.default_rng(0))
    top, bottom = where.slab_um(2.0)
    assert emitters.position_um[:, 0].min() >= top - 1e-5
    assert emitters.position_um[:, 0].max() <= bottom + 1e-5
    assert np.ptp(emitters.position_um[:, 0]) > 1.0


# Granules


@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("shape", [(256, 256), (24, 128, 128)])
def test_granule_density_is_the_one_asked_for(density, shape):
    where = canvas(shape, (0.3, 0.1, 0.1)[-len(shape) :])
    described = Granules(density=fixed(density), radius_spread=0.0, brightness_spread=0.0)
    emitters, _ = granules.emit(described, where, np.random.default_rng(2))
    # A unit of light a granule.
    assert emitters.light.sum() / area_um2(where) == pytest.approx(density, rel=0.05)


def test_clustered_granules_lie_closer_together():
    where = canvas((256, 256))

    def nearest(clustered):
        described = Granules(
            density=fixed(0.3), clustered=fixed(clustered), cluster_radius_um=fixed(0.7), radius_spread=0.0
        )
        parameters = {
            name: getattr(described, name).low for name in ("clustered", "n_per_cluster", "cluster_radius_um")
        }
        at = granules._draw_positions(parameters, 200, where, np.random.default_rng(3))
        apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(200)
        return np.median(apart.min(axis=1))

    assert nearest(1.0) < 0.6 * nearest(0.0)


@pytest.mark.parametrize("n_axes", [2, 3])
@pytest.mark.parametrize("is_hollow", [False, True])
def test_balls_and_shells_have_their_second_moment(n_axes, is_hollow):
    """Mean square distance from the centre: 3/5 R^2 for a ball, R^2 for a shell; seen from above two thirds of it."""
    radius, many = 0.4, np.ones(50)
    emitters = granules.fill_balls(np.zeros((50, n_axes)), radius * many, many, np.full(50, is_hollow), 0.1)
    square = (emitters.light * (emitters.position_um**2).sum(axis=1)).sum() / emitters.light.sum()
    expected = (1.0 if is_hollow else 0.6) * radius**2 * (2 / 3 if n_axes == 2 else 1)
    assert square == pytest.approx(expected, rel=0.03)
    assert emitters.light.sum() == pytest.approx(50, rel=1e-5)


# Nuclei


@pytest.mark.parametrize(("coverage", "shape"), [(0.15, (512, 512)), (0.5, (512, 512)), (0.3, (60, 128, 128))])
def test_nuclei_cover_the_share_asked_for(coverage, shape):
    where = canvas(shape, (0.25,) * len(shape))
    described = Nuclei(
        coverage=fixed(coverage),
        radius_um=fixed(3.5),
        texture=fixed(0.0),
        n_nucleoli=fixed(0.0),
        dome=fixed(0.0),
        brightness_spread=0.0,
    )
    covered = []
    for seed in range(4):
        emitters, _ = nuclei.emit(described, where, np.random.default_rng(seed))
        covered.append((emitters.density > 0.5).mean())
    assert np.mean(covered) == pytest.approx(coverage, rel=0.05)


def test_nuclei_touch_but_are_not_drawn_on_top_of_each_other():
    parameters = {"coverage": 0.5, "radius_um": 4.0, "elongation": 1.0}
    where = canvas((512, 512), (0.25, 0.25))
    placed = nuclei._place(parameters, 0.1, where.field, np.random.default_rng(0))
    radius = placed.semi_axes_um[:, 0]
    centre = (placed.centre_px + 0.5) * 0.25
    apart = centre[:, None] - centre[None]
    apart -= np.array(where.field.extent_um) * np.rint(apart / np.array(where.field.extent_um))
    gap = np.linalg.norm(apart, axis=2) - radius[:, None] - radius[None] + 1e9 * np.eye(len(radius))
    assert gap.min() > -0.15 * 4.0
    assert (gap.min(axis=1) < 0.5).mean() > 0.5


def test_texture_nucleoli_and_irregular_outlines_change_the_image():
    where = canvas((200, 200), (0.25, 0.25))

    def drawn(**changes):
        plain = {"texture": fixed(0.0), "n_nucleoli": fixed(0.0), "dome": fixed(0.0), "irregularity": fixed(0.0)}
        described = Nuclei(coverage=fixed(0.4), brightness_spread=0.0, **(plain | changes))
        return nuclei.emit(described, where, np.random.default_rng(6))[0].density

    flat = drawn()
    inside = flat > 0.99
    assert inside.mean() > 0.2
    assert flat[inside].std() < 0.01
    assert drawn(texture=fixed(0.8))[inside].std() > 0.1
    assert drawn(n_nucleoli=fixed(4.0))[inside].min() < 0.6
    assert drawn(dome=fixed(0.5)).sum() < 0.9 * flat.sum()
    assert (np.abs(drawn(irregularity=fixed(0.1)) - flat) > 0.5).any()


# Epithelia


def sheet_canvas():
    return rendering.plan_canvas(FieldOfView((40, 160, 160), (0.5, 0.2, 0.2)), (0.4, 0.15, 0.15), (1.6, 0.6, 0.6))


@pytest.mark.parametrize("diameter", [3.0, 6.0])
def test_cells_have_the_diameter_asked_for(diameter):
    where = canvas((400, 400), (0.2, 0.2))
    described = Epithelium(
        cell_diameter_um=fixed(diameter),
        junction_spread=0.0,
        label_spread=0.0,
        cytoplasm=fixed(0.0),
        vertex_excess=fixed(0),
    )
    emitters, _ = epithelium.emit(described, where, np.random.default_rng(0))
    image = rendering.render(rendering.compute_spectrum(emitters, where), Gaussian((0.2, 0.2)), where)
    labels, n_cells = ndimage.label(image < 0.25 * np.percentile(image, 99))
    # Cells cut by the border count half.
    at_border = set(labels[0]) | set(labels[-1]) | set(labels[:, 0]) | set(labels[:, -1])
    n = n_cells - len(at_border - {0}) / 2
    measured = math.sqrt(image.size * 0.04 / n * 4 / math.pi)
    assert measured == pytest.approx(diameter, rel=0.05)


@pytest.mark.parametrize(("excess", "brighter"), [(-0.5, 1.1), (0.0, 1.6), (0.8, 2.5)])
def test_corners_of_cells_are_brighter_than_junctions_by_the_excess(excess, brighter):
    where = canvas((300, 300), (0.1, 0.1))
    described = Epithelium(
        cell_diameter_um=fixed(6.0),
        junction_spread=0.0,
        label_spread=0.0,
        cytoplasm=fixed(0.0),
        vertex_excess=fixed(excess),
    )
    emitters, _ = epithelium.emit(described, where, np.random.default_rng(0))
    image = rendering.render(rendering.compute_spectrum(emitters, where), Gaussian((0.15, 0.15)), where)
    along = 0.1**2 / (math.sqrt(2 * math.pi) * 0.15)  # one unit of light per micrometre of a straight line
    assert np.percentile(image, 99.9) / along == pytest.approx(brighter, rel=0.2)


@pytest.mark.parametrize("second", ["none", "above", "below"])
def test_the_sheet_lies_at_its_height_and_the_second_structure_on_its_side(second):
    where = sheet_canvas()
    described = Epithelium(
        second=second, relief_um=fixed(3.0), second_distance_um=fixed(4.0), junction_height_um=fixed(0.8)
    )
    drawn = epithelium.draw_sheet(described, where, np.random.default_rng(1))
    assert np.ptp(drawn.height_um) == pytest.approx(3.0, rel=0.05)
    at = (drawn.junctions.position_um[:, 1:] / 0.2).astype(int)
    offset = drawn.junctions.position_um[:, 0] - drawn.height_um[at[:, 0], at[:, 1]]
    assert np.abs(offset).max() < 0.4 + 0.2
    first, last = where.margin_um[0], where.margin_um[0] + where.image.extent_um[0]
    for part in (drawn.junctions, drawn.second):
        assert ((part.position_um[:, 0] > first) & (part.position_um[:, 0] < last)).all()
    if second == "none":
        assert len(drawn.second.light) == 0
        return
    at = (drawn.second.position_um[:, 1:] / 0.2).astype(int)
    beyond = drawn.second.position_um[:, 0] - drawn.height_um[at[:, 0] % 180, at[:, 1] % 180]
    weighted = (beyond * drawn.second.light).sum() / drawn.second.light.sum()
    assert weighted < -2.5 if second == "above" else weighted > 0.8


@pytest.mark.parametrize("second", ["none", "above", "below"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sheet_that_just_fits_lies_in_the_image(second, seed):
    """7.8 um of sheet and second structure in 8 um of image, between margins of 2 um."""
    where = rendering.plan_canvas(FieldOfView((16, 100, 100), (0.5, 0.2, 0.2)), (0.4, 0.15, 0.15), (2.0, 0.6, 0.6))
    described = Epithelium(
        second=second, relief_um=fixed(3.0), second_distance_um=fixed(4.0), junction_height_um=fixed(0.8)
    )
    drawn = epithelium.draw_sheet(described, where, np.random.default_rng(seed))
    depth = np.concatenate([drawn.junctions.position_um[:, 0], drawn.second.position_um[:, 0]])
    assert where.margin_um[0] <= depth.min()
    assert depth.max() <= where.margin_um[0] + 8.0


def test_in_two_dimensions_the_sheet_is_flat_and_alone():
    drawn = epithelium.draw_sheet(Epithelium(), canvas(), np.random.default_rng(0))
    assert drawn.junctions.position_um.shape[1] == 2
    assert len(drawn.second.light) == 0
    assert (drawn.height_um == 0).all()


def test_a_sheet_that_does_not_fit_the_volume_is_refused():
    with pytest.raises(RecipeError, match=r"need up to 12.2 um, but the volume is 5 um deep \(10 planes\)"):
        epithelium.check_fits(Epithelium(), FieldOfView((10, 64, 64), (0.5, 0.2, 0.2)))


def test_relaxed_cells_are_more_even():
    def spread(n):
        edges = epithelium._draw_edges(4.0, n, (60.0, 60.0), np.random.default_rng(0))
        length = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
        return length.std() / length.mean()

    assert spread(4) < 0.75 * spread(0)


# Background


@pytest.mark.parametrize("shape", [(64, 64), (17, 230), (8, 40, 50), (1, 30, 30)])
def test_perlin_noise_goes_from_0_to_1_and_is_smooth(shape):
    noise = draw_perlin(shape, [20.0] * len(shape), np.random.default_rng(0))
    assert noise.shape == shape
    assert (noise.min(), noise.max()) == (0.0, pytest.approx(1.0))
    for axis in range(len(shape)):
        if shape[axis] > 1:
            assert np.abs(np.diff(noise, axis=axis)).max() < 0.35


def test_perlin_noise_equals_its_definition():
    """Gradient noise at one place, from the gradients of the four lattice points around it."""
    rng = np.random.default_rng(3)
    noise = background._draw_octave((12, 15), [4.0, 5.0], rng)
    again = np.random.default_rng(3)
    y0, x0 = again.random(), again.random()
    n_y, n_x = int(11 / 4 + y0) + 2, int(14 / 5 + x0) + 2
    gradient = again.standard_normal((2, n_y, n_x), dtype=np.float32)
    gradient /= np.linalg.norm(gradient, axis=0)

    def fade(t):
        return t**3 * (t * (t * 6 - 15) + 10)

    expected = np.zeros((12, 15))
    for i in range(12):
        for j in range(15):
            y, x = i / 4 + y0, j / 5 + x0
            for ky in (int(y), int(y) + 1):
                for kx in (int(x), int(x) + 1):
                    dot = gradient[0, ky, kx] * (y - ky) + gradient[1, ky, kx] * (x - kx)
                    expected[i, j] += fade(1 - abs(y - ky)) * fade(1 - abs(x - kx)) * dot
    assert noise == pytest.approx(expected, abs=1e-5)


def test_background_amounts_are_shares_of_the_structure():
    where = canvas()
    emitters, _ = tubules.emit(Tubules(density=fixed(1.0)), where, np.random.default_rng(0))
    spectrum = rendering.compute_spectrum(emitters, where)
    seen = rendering.render(spectrum, Gaussian((0.12, 0.12)), where)
    nothing = {name: fixed(0.0) for name in ("level", "texture", "haze", "vesicle_density")}
    reference = np.percentile(seen, 99.9)

    def added(**changes):
        described = Background(**(nothing | changes))
        return background.add_background(described, seen, spectrum, where, np.random.default_rng(1))[0] - seen

    assert np.abs(added()).max() == 0
    assert added(level=fixed(0.3)) == pytest.approx(np.full(seen.shape, 0.3 * reference), rel=1e-4)
    texture = added(texture=fixed(0.5))
    assert (texture.min(), texture.max()) == (pytest.approx(0, abs=1e-3), pytest.approx(0.5 * reference, rel=1e-3))
    haze = added(haze=fixed(0.4))
    assert haze.sum() == pytest.approx(0.4 * seen.sum(), rel=0.1)
    assert haze.std() < 0.4 * seen.std()
    spots = added(vesicle_density=fixed(0.02), vesicle_brightness=fixed(0.6), vesicle_sigma_um=fixed(0.4))
    assert 0.3 * reference < spots.max() < 3 * reference


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (Tubules, {"density": fixed(0)}, "density: expected a number above 0"),
        (Tubules, {"radiating": fixed(1.5)}, "radiating: expected a share"),
        (Tubules, {"persistence_length_um": Span(-1, 5)}, "persistence_length_um"),
        (Tubules, {"n_centres": fixed(0)}, "n_centres: expected 1 or more"),
        (Tubules, {"label_spread": -1.0}, "label_spread"),
        (Granules, {"radius_um": fixed(0)}, "radius_um: expected a number above 0"),
        (Granules, {"clustered": fixed(2)}, "clustered: expected a share"),
        (Granules, {"n_per_cluster": fixed(0)}, "n_per_cluster: expected 1 or more"),
        (Nuclei, {"coverage": fixed(0.9)}, "nuclei cannot be packed closer"),
        (Nuclei, {"elongation": fixed(0.5)}, "elongation: 1 or more"),
        (Nuclei, {"texture": Span(-1, 0)}, "texture: expected 0 or more"),
        (Epithelium, {"cell_diameter_um": fixed(0)}, "cell_diameter_um: expected a number above 0"),
        (Epithelium, {"cytoplasm": fixed(1.0)}, "cytoplasm: expected a share"),
        (Epithelium, {"relief_um": Span(-2, 3)}, "relief_um: expected 0 or more"),
        (Background, {"haze": Span(-1, 0)}, "haze: expected 0 or more"),
        (Background, {"texture_size_um": fixed(0)}, "texture_size_um: expected a number above 0"),
        (Background, {"n_octaves": 0}, "n_octaves: expected 1 to 8"),
    ],
)
def test_impossible_structures_are_refused(kind, numbers, message):
    with pytest.raises(RecipeError, match=message):
        kind(**numbers)
