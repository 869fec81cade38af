"""The site names everything that is public, its notebooks run, and its pages lead somewhere."""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

import mocop_sklearn

ROOT = Path(mocop_sklearn.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
PRIVATE = {"cli", "tables", "training", "utils"}


def public_modules():
    names = {path.relative_to(ROOT.parent).parts for path in ROOT.glob("*/__init__.py")}
    modules = {".".join(parts[:-1]) for parts in names if parts[1] not in PRIVATE and not parts[1].startswith("_")}
    return sorted(modules | {"mocop_sklearn", "mocop_sklearn.metrics"})


def test_every_public_module_is_in_the_reference():
    text = (DOCS / "reference.rst").read_text(encoding="utf-8")
    listed = re.search(r":toctree: generated\n.*?\n\n(.*?)\n\n", text, re.DOTALL)[1]
    assert sorted(listed.split()) == public_modules()


@pytest.mark.parametrize("name", public_modules())
def test_every_public_name_is_documented(name):
    """Pages of classes and functions are made from ``__all__``; constants are written by hand."""
    module = importlib.import_module(name)
    reference = (DOCS / "reference.rst").read_text(encoding="utf-8")
    table = (DOCS / "api.md").read_text(encoding="utf-8")
    for item in module.__all__:
        value = getattr(module, item)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), item
        else:
            assert f".. py:data:: {name}.{item}\n" in reference
        assert f"`{item}`" in table, f"{name}.{item} is not in docs/api.md"


def test_pages_lead_to_files_and_headings():
    """Links from one page to another, as a forge follows them."""
    dead = []
    for page in DOCS.glob("*.md"):
        for target, anchor in re.findall(
            r"\]\(([\w./-]+\.(?:md|py|svg))(#[\w-]+)?\)", page.read_text(encoding="utf-8")
        ):
            file = page.parent / target
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(f"{page.name}: {target}{anchor}")
    assert dead == []


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "commit notebooks without outputs: they are run for the site"
    scope = {"__name__": "__main__"}
    for cell in cells:
        if cell["metadata"].get("tags") != ["install"]:
            exec(compile("".join(cell["source"]), path.name, "exec"), scope)
    assert len(cells) > 4
    sys.modules["matplotlib.pyplot"].close("all")
