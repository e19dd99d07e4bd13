"""`carezoo simulate` as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from carezoo.cli.main import run
from carezoo.simulate.noise import fit_files, format_camera

TUBULES = {
    "structures": {"kind": "tubules"},
    "psf": {"kind": "gaussian", "sigma_um": [0.1, 0.15]},
    "camera": {"photons": {"log": [10, 200]}},
    "shape": [48, 64],
    "n_pairs": 2,
}


def written(path: Path, values: object) -> str:
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_pairs_table_and_contact_sheet(tmp_path, capsys):
    recipe, out = written(tmp_path / "pairs.yaml", {"simulate": TUBULES}), tmp_path / "new" / "out"
    assert run(["simulate", recipe, "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "parameters.csv"), str(out / "preview.png")]
    for part in ("source", "target"):
        assert sorted(path.name for path in (out / part).iterdir()) == ["00000.tif", "00001.tif"]
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert len((out / "parameters.csv").read_text().splitlines()) == 3
    # The same again is nothing to do; something else is refused.
    before = (out / "source" / "00000.tif").stat().st_mtime_ns
    assert run(["simulate", recipe, "-o", str(out)]) == 0
    assert (out / "source" / "00000.tif").stat().st_mtime_ns == before
    assert run(["simulate", "pairs", recipe, "-o", str(out), "--seed", "1"]) == 2
    assert "holds pairs of another simulation" in capsys.readouterr().err


def test_the_contact_sheet_alone(tmp_path):
    recipe = written(tmp_path / "pairs.yaml", TUBULES)
    assert run(["simulate", recipe, "-o", str(tmp_path / "out"), "--preview"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["preview.png"]


def test_the_recipe_of_a_training_will_do(tmp_path, capsys):
    sets = [{"name": "one", "simulate": TUBULES}, {"name": "two", "simulate": TUBULES | {"shape": [32, 32]}}]
    recipe = written(tmp_path / "recipe.yaml", {"name": "model", "data": {"simulated": sets}})
    assert run(["simulate", recipe, "-o", str(tmp_path / "out")]) == 6
    assert "choose one with --set: one, two" in capsys.readouterr().err
    assert run(["simulate", recipe, "-o", str(tmp_path / "out"), "--set", "three"]) == 6
    assert "no simulated set is called three; there are one, two" in capsys.readouterr().err
    assert run(["simulate", recipe, "-o", str(tmp_path / "out"), "--set", "two", "--n-pairs", "1"]) == 0
    assert tifffile.imread(tmp_path / "out" / "source" / "00000.tif").shape == (32, 32)
    acquired = {"name": "model", "data": {"sets": [{"source": "a", "target": "b"}]}}
    assert run(["simulate", written(tmp_path / "other.yaml", acquired), "-o", str(tmp_path / "x")]) == 6
    assert "has no simulated set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera": {"photons": 0}}, ["photons", "above 0", "0"]),
        ({"camera": {"photons": -3}}, ["photons", "above 0"]),
        ({"task": "upsample", "factor": 0.5, "pixel_size_um": [1, 1, 1], "shape": [8, 8, 8]}, ["factor", "1 or more"]),
        ({"psf": {"kind": "gaussian", "sigma_um": -0.1}}, ["sigma_um", "above 0", "-0.1"]),
        ({"psf": {"kind": "gaussian", "sigma_um": float("nan")}}, ["sigma_um", "finite"]),
        ({"psf": {"kind": "gaussian", "sigma_um": 5.0}}, ["psf", "larger than"]),
        ({"structures": {"kind": "nuclei", "radius_um": 10.0}}, ["nuclei", "do not fit the field", "4.8 x 6.4 um"]),
        ({"structures": {"kind": "microtubules"}}, ["unknown kind 'microtubules'", "tubules"]),
        ({"n_pairs": 10**12}, ["it needs", "GiB", "Free some space"]),
        ({"images": "clean.tif"}, ["either structures", "or images"]),
        ({"structures": [], "images": "clean/*.tif"}, ["no file matches", "clean/*.tif"]),
        ({"camra": 1}, ["unknown key 'camra'", "camera"]),
    ],
)
def test_bad_descriptions_are_told_in_one_line_before_any_work(tmp_path, capsys, changes, words):
    recipe = written(tmp_path / "pairs.yaml", TUBULES | changes)
    assert run(["simulate", recipe, "-o", str(tmp_path / "out")]) in {2, 6}
    told = capsys.readouterr()
    assert not (tmp_path / "out").exists()
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1
    for word in words:
        assert word in told.err


def test_a_psf_that_is_no_light_is_told(tmp_path, capsys):
    beads = np.zeros((64, 64), np.float32)
    beads[32, 32] = np.nan
    tifffile.imwrite(tmp_path / "beads.tif", beads)
    psf = {"kind": "beads", "file": "beads.tif", "half_size_um": [0.5, 0.5], "pixel_size_um": [0.1, 0.1]}
    recipe = written(tmp_path / "pairs.yaml", TUBULES | {"psf": psf})
    assert run(["simulate", recipe, "-o", str(tmp_path / "out")]) in {2, 6}
    assert "NaN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    scene = np.outer(np.linspace(1, 60, 200), np.ones(200))
    return (2.0 * rng.poisson(scene, (12, 200, 200)) + 100).astype(np.uint16)


def test_noise_is_fitted_and_included_in_a_recipe(tmp_path, frames, capsys):
    tifffile.imwrite(tmp_path / "frames.tif", frames, imagej=True, metadata={"axes": "TYX"})
    noise = tmp_path / "noise.yaml"
    assert run(["simulate", "fit-noise", str(tmp_path / "frames.tif"), "-o", str(noise)]) == 0
    told = capsys.readouterr()
    assert told.out == noise.read_text()
    assert "camera: !include noise.yaml" in told.err
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")
    section = yaml.safe_load(told.out)
    assert section["gain"] == pytest.approx(2.0, rel=0.03)
    assert section["offset"] == pytest.approx(100.0, abs=0.5)
    text = yaml.safe_dump({key: value for key, value in TUBULES.items() if key != "camera"})
    for camera in ("!include noise.yaml", "{<<: !include noise.yaml, photons: 7}"):
        (tmp_path / "pairs.yaml").write_text(f"{text}camera: {camera}\n")
        out = tmp_path / f"out{len(camera)}"
        assert run(["simulate", str(tmp_path / "pairs.yaml"), "-o", str(out), "--n-pairs", "1"]) == 0
        kept = yaml.safe_load((out / "simulation.yaml").read_text())["camera"]
        assert kept["gain"] == section["gain"]
        assert kept["photons"] == (7.0 if "photons" in camera else section["photons"])
    (tmp_path / "pairs.yaml").write_text(f"{text}camera: !include nois.yaml\n")
    assert run(["simulate", str(tmp_path / "pairs.yaml"), "-o", str(tmp_path / "x")]) == 6
    assert "!include nois.yaml: cannot use" in capsys.readouterr().err


def test_noise_numbers_as_json_from_single_frames_and_pairs(tmp_path, frames, capsys):
    paths = []
    for i, frame in enumerate(frames):
        paths.append(str(tmp_path / f"{i}.tif"))
        tifffile.imwrite(paths[-1], frame)
    assert run(["simulate", "fit-noise", *paths, "--axes", "YX", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["gain"]["value"] == pytest.approx(2.0, rel=0.03)
    tifffile.imwrite(tmp_path / "clean.tif", frames.mean(axis=0).astype(np.float32))
    assert run(["simulate", "fit-noise", paths[0], str(tmp_path / "clean.tif"), "--axes", "YX", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gain"]["value"] == pytest.approx(2.0, rel=0.1)
    assert run(["simulate", "fit-noise", *paths[:2], "--repeats", "--axes", "YX", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gain"]["value"] == pytest.approx(2.0, rel=0.05)


def test_noise_that_cannot_be_fitted_is_told(tmp_path, frames, capsys):
    tifffile.imwrite(tmp_path / "one.tif", frames[0])
    assert run(["simulate", "fit-noise", str(tmp_path / "one.tif"), "--axes", "YX"]) == 6
    assert "expected repeated frames along T" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "small.tif", frames[0][:50])
    names = [str(tmp_path / name) for name in ("one.tif", "small.tif")]
    assert run(["simulate", "fit-noise", *names, "--repeats", "--axes", "YX"]) == 6
    assert "frames of one scene have one size and type" in capsys.readouterr().err
    assert run(["simulate", "fit-noise", names[0], "-o", str(tmp_path / "noise.txt")]) == 2
    assert "ends in .yaml" in capsys.readouterr().err


def test_multiplied_noise_is_pointed_out(tmp_path):
    rng = np.random.default_rng(1)
    scene = np.outer(np.linspace(2, 60, 200), np.ones(200))
    frames = rng.gamma(np.maximum(rng.poisson(scene, (40, 200, 200)), 1e-9)) * 30 + 100
    tifffile.imwrite(tmp_path / "em.tif", frames.astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
    paths = [tmp_path / "em.tif"]
    assert "with an EM register set em_gain" in format_camera(fit_files(paths, is_repeats=True), paths)
