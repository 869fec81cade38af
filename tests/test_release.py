"""What is released: the wheel and its contents, the recipe for conda, the workflows, the types."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import mocop_sklearn
from tests import typed_client

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_typed_client_runs(tmp_path):
    """``make lint`` checks its types."""
    assert typed_client.main(tmp_path) == 4


def test_conda_needs_what_pip_needs(project):
    recipe = (ROOT / "conda" / "meta.yaml").read_text(encoding="utf-8")
    assert f'version = "{mocop_sklearn.__version__}"' in recipe
    needed = re.search(r"  run:\n(.*?)\n\n", recipe, re.DOTALL)[1]
    pip_names = {"pytorch": "torch", "pytorch_geometric": "torch-geometric"}
    found = {
        f"{pip_names.get(name, name)}{bound}" for name, bound in re.findall(r"- ([\w-]+) (>=[\d.]+)$", needed, re.M)
    }
    assert found == set(project["dependencies"])


def test_actions_are_pinned_by_digest():
    """The tag of a third party can be moved to other code, a digest cannot."""
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for path in workflows for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A wheel of the sources, unpacked."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.slow
@pytest.mark.integration
def test_the_wheel_holds_the_package_and_nothing_else(unpacked):
    package = ROOT / "mocop_sklearn"
    sources = {path.relative_to(ROOT) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    held = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    assert {path for path in held if path.parts[0] == "mocop_sklearn"} == sources
    wanted = {"py.typed", "distilled.safetensors", "distilled.md", "cells.safetensors", "cells.md", "models.json"}
    wanted |= {"comas.npz", "comas.md", "biogen_adme.npz", "biogen_adme.md", "LICENSES.md"}
    assert wanted <= {path.name for path in held}
    others = {path.parts[0] for path in held} - {"mocop_sklearn"}
    assert others == {f"mocop_sklearn-{mocop_sklearn.__version__}.dist-info"}


@pytest.mark.slow
@pytest.mark.integration
def test_the_wheel_works_away_from_its_sources(unpacked, tmp_path):
    """Models, data and cards are found in what was unpacked; .ci/test-wheel does the same in empty environments."""
    check = ROOT / "tests" / "helpers" / "wheel_check.py"
    script = (
        f"import runpy, sys; sys.path.insert(0, {str(unpacked)!r}); sys.argv[1:] = ['core']; "
        f"import mocop_sklearn; assert mocop_sklearn.__file__.startswith({str(unpacked)!r}); "
        f"runpy.run_path({str(check)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
