"""The nodes in KNIME's own Python API: its extension loader, its tables (Arrow) and its testing contexts.

KNIME's API is not on any package index. To run these tests, put the source roots of the knime-python repository
(org.knime.python3, .nodes, .views, .arrow, .arrow.types and .scripting.nodes, each with /src/main/python) on
CAREZOO_KNIME_PYTHONPATH, in an environment with carezoo[cpu,evaluate,knime], pytest and onnx. KNIME Desktop itself is
neither needed nor tested.
"""

import ast
import importlib.util
import json
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import packages
import pytest
import yaml

import carezoo
from carezoo import files
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo.settings import OFFERED

EXTENSION = Path(__file__).parents[2] / "bridges" / "knime"
ROOTS = [root for root in os.environ.get("CAREZOO_KNIME_PYTHONPATH", "").split(os.pathsep) if root]


def missing() -> str:
    """Return what keeps the nodes from running here; empty if nothing does."""
    if not ROOTS:
        return "KNIME's Python API (set CAREZOO_KNIME_PYTHONPATH)"
    sys.path += [root for root in ROOTS if root not in sys.path]
    try:
        if importlib.util.find_spec("knime.extension") is None:
            return f"knime.extension in {ROOTS}"
        if int(version("pandas").split(".")[0]) > 2:
            return "pandas below version 3"
        if tuple(map(int, version("markdown").split(".")[:2])) >= (3, 6):
            return "markdown below version 3.6"
        for name in ("pyarrow", "py4j", "pillow"):
            version(name)
    except (ImportError, PackageNotFoundError) as error:
        return str(error)
    return ""


MISSING = missing()
pytestmark = [
    pytest.mark.knime,
    pytest.mark.skipif(bool(MISSING), reason=f"missing here: {MISSING}"),
    pytest.mark.filterwarnings("ignore::UserWarning:knime"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:knime"),
]


class FileStore:
    """Where KNIME keeps large cells."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n = folder, 0

    def create_file_store(self) -> tuple[str, str]:
        self.n += 1
        return str(self.folder / f"cell{self.n}"), f"cell{self.n}"

    def file_store_key_to_absolute_path(self, key: str) -> str:
        return str(self.folder / key)


def register_paths():
    """Register KNIME's type Path with its three parts; `register_extension` takes every type for one of two parts."""
    import knime.api.types

    factory = json.dumps({"value_factory_class": "org.knime.filehandling.core.data.location.FSLocationValueFactory"})
    parts = [{"type": "simple", "traits": {}}] * 3
    knime.api.types.register_python_value_factory(
        "knime.types.builtin",
        "FSLocationValueFactory",
        "Path",
        json.dumps({"type": "struct", "inner_types": ["string"] * 3}),
        json.dumps({"type": "struct", "traits": {"logical_type": factory}, "inner": parts}),
        "knime.types.builtin.FSLocationValue",
    )


@pytest.fixture(scope="module")
def backend():
    """Load the extension as KNIME does."""
    with pytest.warns(UserWarning, match="JavaScript"):
        import knime.api.views  # noqa: F401
    import _node_backend_launcher as launcher
    import knime.extension.testing as testing

    types = next(Path(root) for root in ROOTS if "arrow.types" in root)
    testing.register_extension(str(types.parents[2] / "plugin.xml"))
    register_paths()
    told = yaml.safe_load((EXTENSION / "knime.yml").read_text())
    loaded = launcher._KnimeNodeBackend()
    loaded.loadExtension(f"{told['group_id']}.{told['name']}", Path(told["extension_module"]).name, told["version"])
    return loaded


@pytest.fixture
def knext(backend, tmp_path, monkeypatch):
    """Return KNIME's API with its tables in Arrow, as in KNIME."""
    import knime._arrow._table as arrow
    import knime.api.table
    import knime.extension

    tables = arrow._ArrowBackend(lambda: None)
    (tmp_path / "store").mkdir()
    tables.file_store_handler = FileStore(tmp_path / "store")
    monkeypatch.setattr(knime.api.table, "_backend", tables)
    return knime.extension


@pytest.fixture
def contexts(knext):
    """Return KNIME's testing contexts, which remember what they are told."""
    import knime.extension.testing as testing

    class Executing(testing.TestingExecutionContext):
        def __init__(self) -> None:
            super().__init__()
            self.warnings, self.progress, self.stop_at = [], [], 2.0

        def set_warning(self, message):
            self.warnings.append(message)

        def set_progress(self, progress, message=None):
            assert isinstance(progress, float)
            assert 0 <= progress <= 1
            self.progress.append((progress, message))

        def is_canceled(self):
            return bool(self.progress) and self.progress[-1][0] >= self.stop_at

    return testing.TestingConfigurationContext, Executing


@pytest.fixture
def here(tmp_path):
    write_package(packages.ensemble_2d(), tmp_path / "many.zip")
    for i in (0, 1):
        files.write_image(tmp_path / f"cell{i}.tif", Image(packages.picture((40, 30), seed=i), "YX"))
    return tmp_path


def node(name, **parameters):
    import knime.extension.nodes as nodes

    made = nodes._nodes[name].node_factory()
    for key, value in parameters.items():
        assert hasattr(type(made), key), key
        setattr(made, key, value)
    return made


def model_of(contexts, package):
    """Return the model port as CARE Restore gets it: written to disk by KNIME, and read again."""
    configuring, executing = contexts
    made = node("CareModelNode", package=str(package))
    spec = made.configure(configuring())
    port = made.execute(executing())
    again = type(spec).deserialize(json.loads(json.dumps(spec.serialize())))
    assert again.wanted == spec.wanted
    return type(port).deserialize(again, port.serialize())


def table_of(knext, cells, name="Path"):
    import pandas as pd

    rows = [f"Row{i}" for i in range(len(cells))]
    return knext.Table.from_pandas(pd.DataFrame({name: pd.Series(cells, dtype="string", index=rows)}))


def shape_of(schema):
    return [(column.name, column.ktype) for column in schema]


def test_knime_reads_what_the_extension_is(backend):
    described = {told["id"]: told for told in json.loads(backend.retrieveNodesAsJson())}
    assert set(described) == {"CareModelNode", "CareRestoreNode", "CareEvaluateNode", "CareZooNode"}
    (category,) = json.loads(backend.retrieveCategoriesAsJson())
    for told in (*described.values(), {"icon_path": category["icon"]}):
        assert (EXTENSION / told["icon_path"]).read_bytes().startswith(b"\x89PNG")
    restore = described["CareRestoreNode"]
    assert restore["category"] == "/community/carezoo"
    assert restore["short_description"] == "Restores microscopy images with a CARE model."
    assert "cell_restored.tif" in restore["full_description"]
    options = [option["name"] for option in restore["options"]]
    assert options[:3] == ["Image column", "Output folder", "Replace existing results"]
    assert set(options[3:-3]) == {row.label for row in OFFERED}
    assert options[-3:] == ["Fail on the first error", "Axes", "Folder of relative paths"]
    assert [port["type_string"] for port in restore["input_port_specifier"]][1] == "PortType.TABLE"
    for told in described.values():
        for option in told["options"]:
            assert option["description"], option["name"]


def test_parameters_survive_being_saved(backend):
    proxy = backend.createNodeFromExtension("CareRestoreNode")
    saved = json.loads(proxy.getParameters())
    assert saved["model"]["tile"] == "auto"
    assert saved["model"]["threads"] == "auto"
    saved["model"] |= {"tile": "64", "provider": "cpu"}
    proxy.setParameters(json.dumps(saved), "0.1.0")
    assert json.loads(proxy.getParameters())["model"]["tile"] == "64"
    assert proxy.validateParameters(json.dumps(saved), "0.1.0") is None
    saved["model"]["average"] = "many"
    assert "many" in proxy.validateParameters(json.dumps(saved), "0.1.0")


def test_dialogs_offer_the_models_and_the_columns_that_can_hold_paths(knext, backend):
    import knime.extension.parameter as parameter
    from knime.types.builtin import FSLocationValue

    told = {"preferred_value_type": "a.Value", "displayed_column_type": "A value"}
    kinds = {"Path": knext.logical(FSLocationValue), "Text": knext.string(), "Size": knext.double()}
    schema = knext.Schema.from_columns([knext.Column(kind, name, dict(told)) for name, kind in kinds.items()])

    class Dialog:
        def get_input_specs(self):
            return [None, schema]

    context = Dialog()
    controls = json.dumps(parameter.extract_ui_schema(node("CareRestoreNode"), context))
    assert '"id": "Path"' in controls
    assert '"id": "Text"' in controls
    assert '"id": "Size"' not in controls
    offered = parameter.extract_schema(node("CareModelNode"), "0.1.0", context)["properties"]["model"]["properties"]
    assert [choice["title"] for choice in offered["name"]["oneOf"]][:1] == ["choose a model"]
    assert {"const": "denoise-bpae-2d", "title": "denoise-bpae-2d"} in offered["name"]["oneOf"]


def test_a_column_of_paths_is_restored_to_the_pixels_of_python(knext, contexts, here):
    configuring, executing = contexts
    model = model_of(contexts, here / "many.zip")
    cells = [None, str(here / "cell0.tif"), str(here / "missing.tif"), str(here / "cell1.tif")]
    table = table_of(knext, cells)
    made = node("CareRestoreNode", image_column="Path", output_folder=str(here / "out"), tile="16")
    planned = made.configure(configuring(), model.spec, table.schema)
    context = executing()
    result = made.execute(context, model, table)
    assert shape_of(result.schema) == shape_of(planned)
    frame = result.to_pandas()
    assert list(frame.index) == ["Row0", "Row1", "Row2", "Row3"]
    assert list(frame["Status"]) == ["failed", "restored", "failed", "restored"]
    assert frame["Error"].isna().tolist() == [False, True, False, True]
    assert "missing.tif does not exist" in frame["Error"].iloc[2]
    assert context.warnings == ["2 of 4 images could not be restored; see the column Error"]
    assert context.progress[-1] == (1.0, "cell1.tif (3 of 3)")
    expected = carezoo.load(here / "many.zip").restore(here / "cell0.tif", tile=16)
    for column, name in {"Restored": "mean", "Scale": "scale", "Disagreement": "disagreement"}.items():
        assert np.array_equal(files.open_image(frame[column].iloc[1]).array(), expected.images[name].array())
    assert frame["Disagreement, mean"].iloc[1] == pytest.approx(float(expected.disagreement.mean()), rel=1e-4)
    assert frame["Seconds"].iloc[1] >= 0
    picture = frame["Preview"].iloc[1]
    assert (picture.mode, picture.size) == ("L", (30, 40))
    assert frame["Preview"].iloc[0] is None


def test_a_table_without_any_restored_image_has_the_same_columns(knext, contexts, here):
    configuring, executing = contexts
    model = model_of(contexts, here / "many.zip")
    made = node("CareRestoreNode", image_column="Path")
    for cells in ([None], []):
        table = table_of(knext, cells)
        result = made.execute(executing(), model, table)
        assert shape_of(result.schema) == shape_of(made.configure(configuring(), model.spec, table.schema))
        assert len(result.to_pandas()) == len(cells)


def test_two_models_one_after_the_other_have_columns_of_their_own(knext, contexts, here):
    _, executing = contexts
    model = model_of(contexts, here / "many.zip")
    first = node("CareRestoreNode", image_column="Path").execute(
        executing(), model, table_of(knext, [str(here / "cell0.tif")])
    )
    second = node("CareRestoreNode", image_column="Restored", output_folder=str(here / "out"))
    frame = second.execute(executing(), model, first).to_pandas()
    assert frame["Restored (#1)"].iloc[0] == str(here / "out" / "cell0_restored_restored.tif")
    assert frame["Restored"].iloc[0] == str(here / "cell0_restored.tif")


def test_cells_of_type_path_are_taken_as_list_files_makes_them(knext, contexts, here):
    import pandas as pd
    from knime.types.builtin import FSLocationValue

    from care_nodes.table import is_path

    _, executing = contexts
    kind = knext.logical(FSLocationValue)
    cells = [FSLocationValue("LOCAL", None, str(here / "cell0.tif")), None]
    column = pd.Series(cells, dtype=kind.to_pandas(), index=["Row0", "Row1"])
    assert is_path(knext.Column(kind, "Path"))
    assert is_path(knext.Column(knext.string(), "Path"))
    assert not is_path(knext.Column(knext.double(), "Path"))
    made = node("CareRestoreNode", image_column="Path")
    result = made.execute(
        executing(), model_of(contexts, here / "many.zip"), knext.Table.from_pandas(pd.DataFrame({"Path": column}))
    )
    assert list(result.to_pandas()["Status"]) == ["restored", "failed"]


def test_averages_of_frames(knext, contexts, here):
    _, executing = contexts
    files.write_image(here / "series.tif", Image(packages.picture((5, 40, 30)), "TYX"))
    made = node("CareRestoreNode", image_column="Path", average=2)
    result = made.execute(
        executing(), model_of(contexts, here / "many.zip"), table_of(knext, [str(here / "series.tif")])
    )
    frame = result.to_pandas()
    assert files.open_image(frame["Restored"].iloc[0]).sizes["T"] == 2
    assert "last 1 of 5 frames" in frame["Warnings"].iloc[0]


def test_stopping_and_strictness_end_the_node_in_words(knext, contexts, here):
    _, executing = contexts
    model = model_of(contexts, here / "many.zip")
    table = table_of(knext, [str(here / "cell0.tif"), str(here / "cell1.tif")])
    context = executing()
    context.stop_at = 0.6
    made = node("CareRestoreNode", image_column="Path", output_folder=str(here / "out"), tile="16")
    with pytest.raises(RuntimeError, match=r"^stopped at .*cell1\.tif"):
        made.execute(context, model, table)
    assert len(list((here / "out").iterdir())) == 3
    strict = node("CareRestoreNode", image_column="Path", stop=True)
    with pytest.raises(RuntimeError, match=r"missing\.tif does not exist"):
        strict.execute(executing(), model, table_of(knext, [str(here / "missing.tif")]))


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("CareRestoreNode", {}, "Choose the column with the image paths"),
        ("CareRestoreNode", {"image_column": "Gone"}, "There is no column 'Gone' any more"),
        ("CareRestoreNode", {"image_column": "Path", "tile": "big"}, "tile 'big': expected auto, whole"),
        ("CareRestoreNode", {"image_column": "Path", "threads": "0"}, "threads '0': expected how many processor"),
        ("CareRestoreNode", {"image_column": "Path", "output_folder": "out"}, "out is a relative path"),
        ("CareEvaluateNode", {}, "Choose the column with the restored images"),
        ("CareEvaluateNode", {"restored": "Path", "reference": "Gone"}, "There is no column 'Gone'"),
        ("CareModelNode", {}, "choose a model, or a package of your own"),
        ("CareModelNode", {"package": "nowhere.zip"}, "there is no package at nowhere.zip"),
    ],
)
def test_what_a_dialog_lacks_is_told_before_the_work(knext, contexts, here, name, parameters, said):
    configuring, _ = contexts
    schema = table_of(knext, ["a.tif"]).schema
    inputs = {"CareModelNode": [], "CareEvaluateNode": [schema], "CareRestoreNode": [None, schema]}[name]
    with pytest.raises(knext.InvalidParametersError, match=re.escape(said)):
        node(name, **parameters).configure(configuring(), *inputs)


def test_a_package_that_was_replaced_is_not_run(knext, contexts, here):
    _, executing = contexts
    model = model_of(contexts, here / "many.zip")
    (here / "many.zip").unlink()
    write_package(packages.ensemble_2d(seed=7), here / "many.zip")
    made = node("CareRestoreNode", image_column="Path")
    with pytest.raises(RuntimeError, match="is not the package that CARE Model chose"):
        made.execute(executing(), model, table_of(knext, [str(here / "cell0.tif")]))


def test_restored_images_are_scored(knext, contexts, here):
    import pandas as pd

    configuring, executing = contexts
    frame = pd.DataFrame({"noisy": [str(here / "cell0.tif")] * 2, "clean": [str(here / "cell0.tif"), "?"]})
    table = knext.Table.from_pandas(frame.set_index(pd.Index(["Row0", "Row1"])))
    for extra in ({}, {"noisy": "noisy"}):
        made = node("CareEvaluateNode", restored="noisy", reference="clean", **extra)
        context = executing()
        result = made.execute(context, table)
        assert shape_of(result.schema) == shape_of(made.configure(configuring(), table.schema))
        scored = result.to_pandas()
        assert scored["SSIM"].iloc[0] == pytest.approx(1.0)
        assert scored["NRMSE"].iloc[0] == pytest.approx(0.0)
        assert pd.isna(scored["Gain error"].iloc[0]) == (not extra)
        assert 'fill in "Folder of relative paths"' in scored["Score error"].iloc[1]
        assert context.warnings == ["1 of 2 images could not be scored; see the column Score error"]


def test_the_models_there_are_make_a_table(knext, contexts):
    configuring, executing = contexts
    made = node("CareZooNode")
    result = made.execute(executing())
    assert shape_of(result.schema) == shape_of(made.configure(configuring()))
    frame = result.to_pandas().set_index("Name")
    assert frame["Axes"]["denoise-bpae-2d"] == "YX"
    assert frame["On this computer"]["denoise-bpae-2d"] == "yes"
    with pytest.raises(RuntimeError, match="is not a zoo"):
        node("CareZooNode", zoo=str(EXTENSION)).execute(executing())


def test_the_python_script_of_the_documentation(knext, here, tmp_path):
    try:
        import knime.scripting._io_containers as ports
        import knime.scripting.io as knio
    except ImportError:
        pytest.skip("missing here: org.knime.python3.scripting.nodes/src/main/python on CAREZOO_KNIME_PYTHONPATH")
    (script,) = re.findall(r"```python\n(.*?)```", (EXTENSION.parents[1] / "docs" / "knime.md").read_text(), re.DOTALL)
    assert len(ast.parse(script).body) == 3
    files.write_image(tmp_path / "a.tif", files.open_image(here / "cell0.tif"))
    ports._input_tables[:] = [table_of(knext, [str(tmp_path / "a.tif")])]
    ports._output_tables[:] = [None]
    exec(compile(script, "docs/knime.md", "exec"), {})
    (restored,) = knio.output_tables[0].to_pandas()["Restored"]
    expected = carezoo.load("denoise-bpae-2d").restore(tmp_path / "a.tif").mean
    assert np.array_equal(files.open_image(restored).array(), expected)
