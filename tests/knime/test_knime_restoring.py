"""What CARE Restore does, without KNIME: rows in, rows out, and one broken file is one broken row."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import packages
import pytest
import tifffile

import carezoo
from carezoo import files
from carezoo.errors import AxesError, Cancelled, InputError
from carezoo.image import Image
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.batch import Job
from carezoo.settings import Settings
from carezoo_knime.cells import folder_of, fresh_names, path_of
from carezoo_knime.restoring import restore_rows


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_package(packages.denoise_2d(), folder / "one.zip")
    write_package(packages.ensemble_2d(), folder / "many.zip")
    return folder


@pytest.fixture
def images(tmp_path):
    for i, shape in enumerate([(40, 30), (24, 50)]):
        files.write_image(tmp_path / f"cell{i}.tif", Image(packages.picture(shape, seed=i), "YX", {"Y": 0.1, "X": 0.1}))
    return tmp_path


def job_of(package: Path, **changes) -> Job:
    return Job(models={None: open_package(package)}, **changes)


def test_pixels_are_those_of_python(models, images):
    cells = [str(images / f"cell{i}.tif") for i in (0, 1)]
    rows = restore_rows(cells, job_of(models / "many.zip", settings=Settings(tile=16), output=images / "out"))
    model = carezoo.load(models / "many.zip")
    for cell, row in zip(cells, rows, strict=True):
        expected = model.restore(cell)
        for name, path in {"mean": row.restored, "scale": row.scale, "disagreement": row.disagreement}.items():
            np.testing.assert_allclose(
                files.open_image(path).array(), expected.images[name].array(), rtol=1e-5, atol=1e-3
            )
        assert row.mean_disagreement == pytest.approx(expected.disagreement.mean(), rel=1e-4)
        assert row.high_disagreement == pytest.approx(np.percentile(expected.disagreement, 99), rel=1e-4)
        assert (row.status, row.error) == ("restored", None)
        assert row.preview.shape == expected.mean.shape
        assert (row.preview.min(), row.preview.max()) == (0, 255)
    same = restore_rows(cells[:1], job_of(models / "many.zip", output=images / "whole"))
    assert np.array_equal(files.open_image(same[0].restored).array(), model.restore(cells[0]).mean)


def test_a_broken_row_is_a_row_that_says_so(models, images):
    (images / "broken.tif").write_bytes((images / "cell0.tif").read_bytes()[:1500])
    tifffile.imwrite(images / "nan.tif", np.full((20, 20), np.nan, np.float32))
    tifffile.imwrite(images / "volume.tif", packages.picture((5, 20, 20)))
    (images / "text.tif").write_text("no image")
    (images / "text.docx").write_text("no image")
    names = [
        "cell0.tif",
        "broken.tif",
        "missing.tif",
        "nan.tif",
        "volume.tif",
        "text.tif",
        "text.docx",
        ".",
        "cell1.tif",
    ]
    cells = [*(str(images / name) for name in names), None, float("nan"), "", "cell0.tif"]
    rows = restore_rows(cells, job_of(models / "one.zip", output=images / "out"))
    assert len(rows) == len(cells)
    assert [i for i, row in enumerate(rows) if row.error is None] == [0, 8]
    said = [
        "truncated",
        "missing.tif does not exist",
        "has no valid pixel",
        "axes",
        "not a TIFF file although it is called one",
        "text.docx",
        "is a folder; expected an image file",
    ]
    for row, words in zip(rows[1:8], said, strict=True):
        assert words in row.error
        assert row.status == "failed"
        assert [row.restored, row.seconds, row.preview] == [None, None, None]
    assert {row.error for row in rows[9:12]} == {"there is no path in this row"}
    assert 'is a relative path: fill in "Folder of relative paths"' in rows[12].error
    assert sorted(path.name for path in (images / "out").iterdir()) == ["cell0_restored.tif", "cell1_restored.tif"]


def test_strict_rows_end_the_work_with_the_first_error(models, images):
    tifffile.imwrite(images / "volume.tif", packages.picture((5, 20, 20)))
    with pytest.raises(AxesError, match=r"volume\.tif"):
        restore_rows([str(images / "volume.tif")], job_of(models / "one.zip"), is_strict=True)
    with pytest.raises(InputError, match="no path in this row"):
        restore_rows([str(images / "cell0.tif"), None], job_of(models / "one.zip"), is_strict=True)
    assert not (images / "cell0_restored.tif").exists()


def test_finished_rows_are_not_restored_again_and_the_same_path_only_once(models, images):
    cell = str(images / "cell0.tif")
    first, again = restore_rows([cell, cell], job_of(models / "many.zip"))
    assert first == again
    (later,) = restore_rows(["cell0.tif"], job_of(models / "many.zip"), folder=images)
    assert (later.status, later.seconds) == ("finished before", None)
    assert (later.restored, later.mean_disagreement) == (first.restored, first.mean_disagreement)
    assert np.array_equal(later.preview, first.preview)
    (other,) = restore_rows([cell], job_of(models / "many.zip", settings=Settings(dtype=np.uint16)))
    assert "exists and was made with --dtype float32 instead of uint16" in other.error


def test_results_among_the_images_and_equal_names_hold_up_their_row_only(models, images):
    (images / "sub").mkdir()
    files.write_image(images / "sub" / "cell0.tif", Image(packages.picture((20, 20)), "YX"))
    cells = [str(images / name) for name in ("cell0.tif", "cell1.tif")]
    restore_rows(cells, job_of(models / "one.zip"))
    rows = restore_rows([*cells, str(images / "cell0_restored.tif")], job_of(models / "one.zip"))
    assert [row.status for row in rows] == ["finished before", "finished before", "failed"]
    assert "is both an input and the result of" in rows[2].error
    rows = restore_rows(
        [cells[0], str(images / "sub" / "cell0.tif")], job_of(models / "one.zip", output=images / "out")
    )
    assert [row.status for row in rows] == ["restored", "failed"]
    assert "would both be written to" in rows[1].error


def test_progress_rises_to_one_and_stopping_keeps_what_is_finished(models, images):
    cells = [str(images / f"cell{i}.tif") for i in (0, 1)]
    told = []
    tiles = Settings(tile=16)
    restore_rows(cells, job_of(models / "one.zip", settings=tiles), progress=lambda *step: told.append(step))
    shares = [done / total for done, total, _ in told]
    assert shares == sorted(shares)
    assert len(shares) > 4
    assert shares[-1] == 1.0
    assert told[0][2] == "cell0.tif (1 of 2)"
    told.clear()
    with pytest.raises(Cancelled, match=r"stopped at .*cell1\.tif; what was finished before stays"):
        restore_rows(
            cells,
            job_of(models / "one.zip", settings=tiles, output=images / "out"),
            progress=lambda done, total, _: told.append(done / total),
            cancelled=lambda: bool(told) and told[-1] > 0.6,
        )
    assert [path.name for path in (images / "out").iterdir()] == ["cell0_restored.tif"]


def test_warnings_of_the_run_reach_the_row(models, images):
    (row,) = restore_rows(
        [str(images / "cell0.tif")],
        job_of(models / "one.zip", settings=Settings(dtype=np.uint8), output=images / "out"),
    )
    assert "pixels did not fit into the type and were clipped" in row.warnings


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("https://example.org/cell.tif", "is an address"),
        ("knime://LOCAL/cell.tif", "is an address"),
        (SimpleNamespace(fs_category="HUB_SPACE", path="/a.tif"), "lies on KNIME's file system HUB_SPACE"),
        (SimpleNamespace(fs_category="LOCAL", path=""), "no path"),
        (7, "no path"),
    ],
)
def test_cells_that_name_no_file_of_this_computer(cell, said):
    with pytest.raises(InputError, match=said):
        path_of(cell, Path("/data"))


def test_paths_are_taken_as_knime_writes_them(tmp_path):
    absolute = str(tmp_path / "a.tif")
    assert path_of(f" {absolute} ", None) == Path(absolute)
    assert path_of(SimpleNamespace(fs_category="LOCAL", fs_specifier=None, path=absolute), None) == Path(absolute)
    assert path_of("sub/a.tif", tmp_path) == tmp_path / "sub" / "a.tif"


def test_a_relative_folder_starts_where_relative_images_do(tmp_path):
    assert folder_of("  ", tmp_path) is None
    assert folder_of(f" {tmp_path} ") == tmp_path
    assert folder_of("out", tmp_path) == tmp_path / "out"
    with pytest.raises(InputError, match='out is a relative path: fill in "Folder of relative paths"'):
        folder_of("out")


def test_names_of_new_columns_are_free():
    assert fresh_names(["Restored", "Scale"], ["Path", "Restored", "Restored (#1)"]) == {
        "Restored": "Restored (#2)",
        "Scale": "Scale",
    }
