"""Length is a prompt to look for the missing noun: modules, functions and signatures stay within reading distance."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "carezoo"
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 350, 60, 8


def _length(node):
    body = node.body[1:] if isinstance(node.body[0], ast.Expr) and len(node.body) > 1 else node.body
    return node.end_lineno - body[0].lineno + 1


def test_modules_functions_and_signatures_are_short():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf8")
        name = path.relative_to(PACKAGE)
        if text.count("\n") > MOST_LINES:
            found.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            if _length(node) > MOST_FUNCTION_LINES:
                found.append(f"{name}:{node.lineno} {node.name}: {_length(node)} lines without docstring")
            n_parameters = len([a for a in node.args.posonlyargs + node.args.args if a.arg != "self"]) + len(
                node.args.kwonlyargs
            )
            if n_parameters > MOST_PARAMETERS:
                found.append(f"{name}:{node.lineno} {node.name}: {n_parameters} parameters")
    assert found == []
