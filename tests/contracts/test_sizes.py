"""Length is a prompt to look for the missing noun; only what nobody can keep in mind any more fails."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "carezoo"
MOST_LINES, MOST_FUNCTION_LINES, MOST_MODULES_IN_A_ROOM = 500, 80, 20


def _length(node):
    body = node.body[1:] if isinstance(node.body[0], ast.Expr) and len(node.body) > 1 else node.body
    return node.end_lineno - body[0].lineno + 1


def test_modules_and_functions_can_be_kept_in_mind():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf8")
        name = path.relative_to(PACKAGE)
        if text.count("\n") > MOST_LINES:
            found.append(f"{name}: {text.count(chr(10))} lines")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        found += [
            f"{name}:{node.lineno} {node.name}: {_length(node)} lines without docstring"
            for node in functions
            if _length(node) > MOST_FUNCTION_LINES
        ]
    assert found == []


def test_rooms_can_be_surveyed():
    rooms = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    crowded = {str(room.relative_to(PACKAGE)): len(list(room.glob("*.py"))) for room in rooms}
    assert {room: n for room, n in crowded.items() if n > MOST_MODULES_IN_A_ROOM} == {}
