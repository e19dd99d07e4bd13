"""One table of restore settings: every surface offers every row, takes the same values, and refuses the same ones."""

import importlib
import io
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints
from unittest.mock import MagicMock

import pytest

import carezoo
from carezoo.cli.main import COMMANDS, run
from carezoo.errors import InputError
from carezoo.host.worker import Worker
from carezoo.runtime.batch import Job
from carezoo.settings import NOT_OFFERED, OFFERED, SETTINGS, Options, Settings, choose, from_dialog, from_words

ROOT = Path(__file__).parents[2]
KEYS = {row.key for row in SETTINGS}

BAD = {
    "tile": ["big", "0", "8,,8", 0, -4, 2.5, [], True],
    "provider": ["gpu", "", 3],
    "precision": ["best", None, True],
    "n_threads": ["0", "many", -1, 1.5, True, 100_000],
    "dtype": ["foo", "U5", bool, None],
    "intensity_range": ["5", "9,3", "1,nan", 5, (3, 1), (1, 2, 3), (0, float("inf")), "0,1e-300", "1,1e39"],
    "background": ["dark", "nan", float("inf"), True, [1, 2]],
    "is_robust": ["maybe", 2, None],
    "average": ["0", "x", 0, 2.0, None],
    "is_per_frame": ["maybe", 2, None],
    "nan": ["x", True],
    "nodata": ["black", "nan", float("inf"), True, [0], None],
    "memory_bytes": ["lots", "0", "-1", -1, 1.5],
    "keep_members": ["x", 1],
}
"""For each setting what it may not be: texts, as people type them, and values."""

CASES = [(row, value) for row in SETTINGS for value in BAD[row.key]]


def by_command(name):
    command = getattr(importlib.import_module(COMMANDS[name][0]), f"{name}_command")
    flags = {option: parameter.name for parameter in command.params for option in parameter.opts}
    return {row.key for row in SETTINGS if flags.get(f"--{row.flag}") == row.key}


def by_imagej():
    pytest.importorskip("jpype", reason='needs jpype1 (pip install "carezoo[fiji]")')
    from carezoo_fiji import form

    made = form.settings_fields()
    assert all(field.label.split(" ")[0].lower() == field.key for field in made)  # what ImageJ makes the key of
    untouched = form.answer_from_options("CARE Restore...", made, "")
    assert from_dialog(untouched) == Settings()
    return {row.key for row in SETTINGS if row.name in untouched}


def by_fiji(folder):
    from carezoo_fiji import install

    (folder / "plugins").mkdir()
    (folder / "jars").mkdir()
    (folder / "jars" / "appose-1.jar").touch()
    script = install.install(folder, python=Path(sys.executable))[0].read_text()
    asked = re.findall(r"^#@ \w+ \(.*\) (\w+)$", script, re.MULTILINE)
    (passed,) = re.findall(r"def settings = \[(.*)\]", script)
    passed = dict(pair.split(": ") for pair in passed.split(", "))
    assert set(passed.values()) < set(asked)
    return set(passed)


def by_knime(monkeypatch):
    """The parameters that the node is made of; `test_knime_nodes` runs it in KNIME's own Python API."""
    for name in ("knime", "knime.extension", "pandas"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.syspath_prepend(ROOT / "bridges" / "knime" / "src")
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.startswith("care_nodes")]:
            patch.delitem(sys.modules, name)
        made = vars(importlib.import_module("care_nodes.restore").RestoreSettings)
        for name in [name for name in sys.modules if name.startswith("care_nodes")]:
            del sys.modules[name]
    return {row.key for row in SETTINGS if row.name in made}


def by_documentation():
    """To see what is missing, look at the difference."""
    lines = (ROOT / "docs" / "settings.md").read_text("utf8").splitlines()

    def line(row):
        dialog, flag = ("", "") if row.key in NOT_OFFERED else (row.label, f"`--{row.flag}`")
        return f"| `{row.key}` | {flag} | {dialog} | {row.help} |"

    assert [each for each in lines if each.startswith("| `")] == [line(row) for row in SETTINGS]
    return KEYS - set(NOT_OFFERED)


def test_fields_rows_and_keywords_are_the_same():
    assert [row.key for row in SETTINGS] == [field.name for field in fields(Settings)]
    assert get_type_hints(Options) == get_type_hints(Settings)
    assert from_words({row.key: row.word for row in SETTINGS}) == Settings() == from_words(dict.fromkeys(KEYS))


def test_every_surface_offers_every_setting(tmp_path, monkeypatch):
    found = {name: by_command(name) for name in ("restore", "show", "evaluate")}
    found |= {"ImageJ": by_imagej(), "Fiji": by_fiji(tmp_path), "documentation": by_documentation()}
    found["KNIME"] = by_knime(monkeypatch)
    missing = {surface: KEYS - keys for surface, keys in found.items()}
    assert missing == {surface: set(NOT_OFFERED) for surface in found}
    assert all(NOT_OFFERED.values())


def test_every_setting_is_known_to_resuming():
    deciding = {row.key for row in SETTINGS if row.decides_pixels}
    assert deciding == {
        "precision",
        "dtype",
        "intensity_range",
        "background",
        "is_robust",
        "average",
        "is_per_frame",
        "nan",
        "nodata",
    }
    identity = Job(models={}, settings=Settings(intensity_range=(1, 3), dtype="uint8")).options()
    assert json.loads(json.dumps(identity)) == identity
    assert deciding < identity.keys()
    assert (identity["intensity_range"], identity["dtype"]) == ([1, 3], "uint8")


@pytest.mark.parametrize(("row", "value"), CASES, ids=[f"{row.key}={value!r}" for row, value in CASES])
def test_bad_values_are_refused_everywhere(row, value, capsys):
    expected = f"{row.key} {value!r}: expected "
    with pytest.raises(InputError, match=re.escape(expected)):
        Settings(**{row.key: value})
    if isinstance(value, str) and row in OFFERED and not row.is_flag:
        assert run(["restore", "x.tif", "-m", "denoise-bpae-2d", f"--{row.flag}", value]) == 2
        said = capsys.readouterr().err
        assert f"--{row.flag}" in said
        assert "Traceback" not in said
    if isinstance(value, str | int | float | list):
        assert f"InputError: {expected}" in by_worker({row.key: value})


def by_worker(options):
    request = {"task": "1", "requestType": "EXECUTE", "script": "restore", "inputs": {"model": "m", "options": options}}
    responses = io.StringIO()
    Worker(io.StringIO(json.dumps(request) + "\n"), responses).run()
    return json.loads(responses.getvalue().splitlines()[-1])["error"]


def test_a_misspelt_setting_is_refused_with_the_nearest():
    said = "unknown setting averge; did you mean average?"
    with pytest.raises(InputError, match=re.escape(said)):
        carezoo.load("denoise-bpae-2d").restore([[1.0]], "YX", averge=3)
    assert said in by_worker({"averge": 3})
    with pytest.raises(InputError, match="unknown setting q; there are tile, provider"):
        from_words({"q": 1})


def test_texts_mean_what_python_means():
    texts = {"tile": " 16,32 ", "n_threads": "2", "memory_bytes": "1.5G", "dtype": "as the image", "keep_members": "no"}
    values = {"tile": (16, 32), "n_threads": 2, "memory_bytes": 3 << 29, "dtype": "input", "keep_members": False}
    assert from_words(texts) == Settings(**values)
    assert Settings(dtype="uint16") == Settings(dtype="16-bit")
    assert Settings(intensity_range="100, 3000").intensity_range == (100, 3000)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("range", "intensity_range"),
        ("tile_memory", "memory_bytes"),
        ("threads", "n_threads"),
        ("per_frame", "is_per_frame"),
        ("result_type", "dtype"),
        ("robust", "is_robust"),
        ("tils", "tile"),
        ("thread", "n_threads"),
    ],
)
def test_a_setting_is_found_by_the_name_it_has_elsewhere(key, meant):
    with pytest.raises(InputError, match=rf"unknown setting {key}; did you mean {meant}"):
        from_words({key: 1})


def test_settings_are_given_as_such_as_a_dictionary_or_as_keywords():
    assert choose(None, {}) == Settings()
    assert choose({"tile": 64}, {}) == choose(None, {"tile": 64}) == choose(Settings(tile=64), {}) == Settings(tile=64)
    with pytest.raises(InputError, match="unknown setting range; did you mean intensity_range"):
        choose({"range": (0, 1)}, {})
    with pytest.raises(InputError, match=r"settings: expected carezoo.Settings\(...\) or a dictionary.*found 512"):
        choose(512, {})
    with pytest.raises(TypeError, match="give settings or tile, not both"):
        choose(Settings(), {"tile": 64})
