"""Reads texts out of source files: what doctor finds, and the arguments of launch files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def launch_file(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """What a launch file says about itself.

    Args:
        path: The file.

    Returns:
        First line of its docstring, and name and description of each argument it declares.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").splitlines()[0], list(_launch_arguments(tree))


def _launch_arguments(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Arguments declared as tuples in ARGUMENTS, or as calls with a description."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="ARGUMENTS")], value=ast.Tuple(elts=entries)):
                for entry in entries:
                    if isinstance(entry, ast.Tuple):
                        yield _words(entry.elts[0], {}), _words(entry.elts[-1], {})
            case ast.Call(func=ast.Name(id="DeclareLaunchArgument"), args=[ast.Constant() as name]):
                described = [each.value for each in node.keywords if each.arg == "description"]
                if described:
                    yield _words(name, {}), _words(described[0], {})


def doctor_findings(folder: Path) -> list[tuple[str, str, str]]:
    """What `doctor` can find, from the calls of `problem` and `warning`.

    Args:
        folder: The folder of doctor's modules.

    Returns:
        Level, sentence and remedy of each, sorted.
    """
    rows = []
    for path in sorted(folder.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            texts = _texts(function)
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in ("problem", "warning")
                    and len(node.args) == 2
                ):
                    sentence, remedy = (_words(argument, texts) for argument in node.args)
                    rows.append((node.func.id, sentence, remedy))
    return sorted(set(rows))


def _texts(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Local variables of a function that are texts, by name."""
    return {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        if isinstance(node.value, (ast.Constant, ast.JoinedStr)) or _is_command(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _is_command(node: ast.expr) -> bool:
    """Whether an expression gives a command line of the installation at hand."""
    match node:
        case ast.Call(func=ast.Name(id="ros2_command" | "own_command")):
            return True
    return False


def _words(node: ast.expr, texts: dict[str, ast.expr]) -> str:
    """The text of an expression, with \u2039names\u203a of what is filled in."""
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=parts):
            return "".join(_words(part, texts) for part in parts)
        case ast.FormattedValue(value=value):
            return _words(value, texts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _words(left, texts) + _words(right, texts)
        case ast.IfExp(body=body, orelse=other):
            return f"{_words(body, texts)} / {_words(other, texts)}"
        case ast.Call(func=ast.Name(id="ros2_command"), args=[arguments, _]):
            return f"`ros2 {_words(arguments, texts)}`"
        case ast.Name(id=name) if name in texts:
            return _words(texts[name], texts)
    return f"\u2039{_name(node).strip('_').replace('_', ' ')}\u203a"


def _name(node: ast.expr) -> str:
    """The word that says best what an expression stands for."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return _name(value)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Constant()), args=[first, *_]):
            return _name(first)
        case ast.Call(func=ast.Name(id="str" | "sorted" | "len"), args=[first, *_]):
            return _name(first)
        case ast.Call(func=ast.Attribute(attr="rstrip" | "strip", value=value)):
            return _name(value)
        case ast.Call(func=function):
            return _name(function)
        case ast.GeneratorExp(elt=inner) | ast.ListComp(elt=inner):
            return _name(inner)
        case ast.BoolOp(values=[first, *_]):
            return _name(first)
        case ast.BinOp(left=left):
            return _name(left)
    return "..."
