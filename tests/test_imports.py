"""Imports go down one list, the package is light to import, and every public name exists."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mocop_sklearn

ROOT = Path(mocop_sklearn.__file__).parent
# A room imports only rooms of later lines, and files of its own.
ORDER = """
__main__
cli __init__
inspection
display
classifier regressor embedder pipeline baselines
_base
training
model_selection
pairs
model_file
nn
datasets
profiles
tables
molecules
metrics
utils
_version
""".split("\n")[1:-1]
LEVEL = {room: level for level, line in enumerate(ORDER) for room in line.split()}


def imported_rooms(path):
    """Rooms of the package that a file imports, wherever in it."""
    package = ["mocop_sklearn", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            full = package[: len(package) - node.level + 1] + (node.module or "").split(".") * bool(node.module)
            yield from [full[1]] if len(full) > 1 else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    upward = [other for other in imported_rooms(path) if other != room and LEVEL[other] <= LEVEL[room]]
    assert upward == []


def test_importing_the_package_is_light():
    script = "import sys, mocop_sklearn, mocop_sklearn.cli; print({m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "torch_geometric", "rdkit", "sklearn", "pandas", "pyarrow", "numpy", "scipy"}
    assert heavy & set(ast.literal_eval(loaded)) == set()


@pytest.mark.parametrize("room", sorted(p.parent.relative_to(ROOT.parent) for p in ROOT.rglob("__init__.py")), ids=str)
def test_all_names_exist(room):
    module = importlib.import_module(".".join(room.parts))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)
