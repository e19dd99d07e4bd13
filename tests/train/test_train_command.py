"""`carezoo train`: mistakes are one line and a code."""

import pytest

from carezoo.cli.main import run

RECIPE = """
name: my-model
data: {channels: [a], sets: [{name: s, source: noisy, target: clean, axes: YX}]}
"""


@pytest.mark.parametrize(
    ("arguments", "recipe", "code", "said"),
    [
        ([], RECIPE, 2, "expected a recipe and a folder"),
        (["nope.yaml", "-o", "run"], RECIPE, 6, "nope.yaml"),
        (["recipe.yaml", "-o", "run"], RECIPE + "trainin: {}\n", 6, "training"),
        (["recipe.yaml", "-o", "run"], RECIPE, 6, "noisy"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, arguments, recipe, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf8")
    assert run(["train", *arguments]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "bug in carezoo" not in told


def test_explain_prints_every_section(capsys):
    assert run(["train", "--explain"]) == 0
    told = capsys.readouterr().out
    for word in ("learning_rate", "n_first", "percentiles", "source"):
        assert word in told
