"""No check that cannot fail: tests that assert nothing, asserts on things that are always true, dropped comparisons."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALWAYS_TRUE = ast.Tuple | ast.ListComp | ast.GeneratorExp | ast.JoinedStr
COMPARISONS = {"allclose", "array_equal", "isclose", "equal"}
CHECKS = {"raises", "warns", "fail", "check", "verify"}


def problems(source):
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) and isinstance(node.test, ALWAYS_TRUE):
            found.append((node.lineno, "assert on something that is always true"))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value) in COMPARISONS:
            found.append((node.lineno, "comparison whose result is dropped"))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not _asserts(node):
            found.append((node.lineno, f"{node.name} asserts nothing"))
        if (
            isinstance(node, ast.With)
            and any(_name(i.context_expr) == "raises" for i in node.items)
            and len(node.body) > 1
        ):
            found.append((node.lineno, "several statements where one is expected to raise"))
    return found


def _name(node):
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _asserts(function):
    calls = {_name(node) for node in ast.walk(function) if isinstance(node, ast.Call)}
    return any(isinstance(node, ast.Assert) for node in ast.walk(function)) or any(
        name in CHECKS or name.startswith(("assert_", "check_", "verify_", "_assert", "_check")) for name in calls
    )


def test_no_vacuous_checks():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for folder in ("tests", "carezoo")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, what in problems(path.read_text(encoding="utf8"))
    ]
    assert found == []


def test_the_contract_sees_each_kind():
    source = """
def test_nothing(): x = 1
def test_list(): assert [a > 1 for a in b]
def test_dropped():
    np.allclose(a, b)
    assert a
def test_raises():
    with pytest.raises(ValueError):
        f()
        g()
"""
    assert len(problems(source)) == 4
