"""The documentation site: `make docs` writes it into docs/_build/html."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import mocop_sklearn

sys.path.insert(0, str(Path(__file__).parent))  # for gallery_style

project = "mocop-sklearn"
author = "the mocop-sklearn developers"
copyright = author
version = release = mocop_sklearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
# the gallery writes its notebooks beside its pages
exclude_patterns = ["_build", "_templates", "gallery", "examples", "auto_examples/*.ipynb", "**.ipynb_checkpoints"]
# every link to a name of this package must lead somewhere; other packages have sites of their own
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!mocop_sklearn\.).*")]
# numpydoc links the attribute `molecules` by its bare name, which is a package, too
suppress_warnings = ["ref.python"]

# -- reference ---------------------------------------------------------------------------------
autosummary_generate = True
autosummary_ignore_module_all = False  # a module's names are those of its __all__
autosummary_imported_members = True
autosummary_context = {"face": mocop_sklearn.__all__}  # they have their page there
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings have them, in words
numpydoc_show_class_members = False

# -- pages -------------------------------------------------------------------------------------
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_excludepatterns = ["auto_examples/*"]

# -- gallery -----------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("mocop_sklearn",),
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", "gallery_style.set_style"),
    "download_all_examples": False,
    "show_signature": False,
}

# -- looks -------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "mocop-sklearn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Pages that are read on a forge, too, link to files above this folder.
ABOVE = {"CONTRIBUTING": "contributing", "CHANGELOG": "changelog", "SECURITY": "security"}


def read_as_site(app: Any, docname: str, source: list[str]) -> None:
    """Turn links to files above this folder into links to their pages; no empty line after the last output of code."""
    source[0] = re.sub(r"(```python\n.*?)\n+```", r"\1\n```", source[0], flags=re.DOTALL)
    for file, page in ABOVE.items():
        source[0] = re.sub(rf"\]\((\.\./)+{file}\.md", f"](/project/{page}.md", source[0])


def leave_out_inherited(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what other packages define: scikit-learn documents ``get_params`` itself."""
    module = getattr(obj, "__module__", None)
    if what == "class" and isinstance(module, str) and not module.startswith("mocop_sklearn"):
        return True
    return None


def setup(app: Any) -> None:
    app.connect("source-read", read_as_site)
    app.connect("autodoc-skip-member", leave_out_inherited)
