"""Models on the Hugging Face Hub, against a local server that speaks its protocol."""

import re
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, list_models
from mocop_sklearn.cli import main
from mocop_sklearn.inspection import report
from mocop_sklearn.model_file import load_pretrained
from mocop_sklearn.model_selection import overlap
from tests.helpers.hub import TOKEN, running_hub

constants = pytest.importorskip("huggingface_hub.constants")
NAME = "someone/cells"


@pytest.fixture(scope="module")
def server():
    with running_hub() as running:
        yield running


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """An empty hub, and an empty cache."""
    hub, url = server
    hub.repositories, hub.requests, hub.status, hub.large, hub.objects = {}, [], None, (), {}
    monkeypatch.setenv("HF_ENDPOINT", url)
    # what a process that starts with HF_ENDPOINT has
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return hub


def test_there_and_back(hub, fitted, smiles):
    address = fitted.push_to_hub(NAME, license="mit")
    ((oid, files),) = hub.repositories[NAME]
    assert address == f"hf://{NAME}@{oid}"
    assert sorted(files) == ["README.md", "model.safetensors"]
    for given in (f"hf://{NAME}", f"hf://{NAME}@main", address):
        loaded = MoCoPEmbedder(pretrained=given).fit(smiles)
        assert loaded.digest_ == fitted.digest_
        assert loaded.model_.source == address
        np.testing.assert_array_equal(loaded.transform(smiles), fitted.transform(smiles))
    assert MoCoPEmbedder.load(address).digest_ == load_pretrained(address).digest == fitted.digest_
    assert overlap(address, smiles).all()


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # huggingface_hub's use of its HTTP library
def test_large_files(hub, fitted, smiles):
    """The hub decides which files go by Git LFS; those of models do."""
    hub.large = ("model.safetensors",)
    address = fitted.push_to_hub(NAME)
    assert [path.partition("s/")[0] for method, path in hub.requests if method == "PUT"] == ["/object"]
    loaded = MoCoPEmbedder(pretrained=address).fit(smiles)
    assert loaded.digest_ == fitted.digest_
    assert loaded.model_.source == address
    assert any(method == "GET" and path.startswith("/objects/") for method, path in hub.requests)


def test_the_card(hub, fitted):
    fitted.push_to_hub(NAME, license="mit")
    card = hub.repositories[NAME][0][1]["README.md"].decode()
    front, text = re.fullmatch(r"---\n(.*?)\n---\n\n(.*)", card, re.DOTALL).groups()
    yaml = pytest.importorskip("yaml")
    fields = yaml.safe_load(front)
    assert fields["license"] == "mit"
    assert fields["library_name"] == "mocop-sklearn"
    assert {"mocop", "cell-painting"} <= set(fields["tags"])
    assert text.startswith("# cells\n")
    assert f"| digest | {fitted.digest_} |" in text
    assert "| molecules | 40 seen with a profile, 0 as structures only |" in text
    assert f'MoCoPEmbedder(pretrained="hf://{NAME}")' in text


def test_a_model_of_the_package_keeps_its_card(hub):
    shipped = list_models()[0]
    MoCoPEmbedder.load(shipped.name).push_to_hub(NAME)
    card = hub.repositories[NAME][0][1]["README.md"].decode()
    assert card.startswith('---\nlibrary_name: "mocop-sklearn"\nlicense: "bsd-3-clause"\n')
    assert card.endswith(f"---\n\n{shipped.card.strip()}\n")


def test_a_card_of_ones_own(hub, fitted):
    fitted.push_to_hub(NAME, card="# Mine\n", commit_message="The first")
    card = hub.repositories[NAME][0][1]["README.md"].decode()
    assert card.endswith("\n---\n\n# Mine\n")
    assert "license" not in card


@pytest.mark.parametrize("cls", [MoCoPClassifier, MoCoPRegressor])
def test_fine_tuned_models(hub, fitted, smiles, labels, tmp_path, capsys, cls):
    start = fitted.push_to_hub(NAME)
    tuned = cls(pretrained=f"hf://{NAME}", max_epochs=1, random_state=0).fit(smiles, labels)
    assert tuned.start_ == start
    address = tuned.push_to_hub("someone/tuned")
    loaded = cls.load("hf://someone/tuned")
    np.testing.assert_array_equal(loaded.predict(smiles), tuned.predict(smiles))
    assert loaded.start_ == start
    assert f"{cls.__name__}.load(" in hub.repositories["someone/tuned"][0][1]["README.md"].decode()
    assert MoCoPEmbedder(pretrained=address).fit(smiles).digest_ == tuned.model_.digest
    assert main(["info", address]) == 0
    assert re.search(rf"start +{re.escape(start)}\n", capsys.readouterr().out)


def test_a_model_tells_the_commit_that_it_started_from(hub, fitted, smiles, profiles, tiny, tmp_path):
    address = fitted.push_to_hub(NAME)
    embedder = MoCoPEmbedder(pretrained=f"hf://{NAME}", max_epochs=1, batch_size=16, side_features=None)
    embedder.fit(smiles, profiles=profiles)
    assert embedder.digest_ != fitted.digest_
    embedder.save(tmp_path / "next.safetensors")
    assert MoCoPEmbedder.load(tmp_path / "next.safetensors").model_.parameters["pretrained"] == address


def test_revisions(hub, fitted, smiles, profiles, tiny):
    first = fitted.push_to_hub(NAME)
    other = MoCoPEmbedder(**tiny | {"max_epochs": 1}).fit(smiles, profiles=profiles)
    second = other.push_to_hub(NAME)
    assert first != second
    for address, expected in ((first, fitted), (f"hf://{NAME}@v1", fitted), (second, other), (f"hf://{NAME}", other)):
        assert load_pretrained(address).digest == expected.digest_


def test_the_cache_is_used(hub, fitted):
    address = fitted.push_to_hub(NAME)
    load_pretrained(address)
    hub.requests.clear()
    load_pretrained(address)
    assert hub.requests == []  # a commit does not change
    hub.status = 503
    assert load_pretrained(f"hf://{NAME}@{address.partition('@')[2]}").source == address


def test_the_command_line(hub, fitted, smiles, tmp_path, capsys):
    fitted.push_to_hub(NAME)
    (tmp_path / "in.smi").write_text("\n".join(smiles[:3]))
    out = tmp_path / "out.npy"
    assert main(["embed", str(tmp_path / "in.smi"), "-m", f"hf://{NAME}", "-o", str(out), "-q"]) == 0
    np.testing.assert_allclose(np.load(out), fitted.transform(smiles[:3]), atol=1e-6)
    assert main(["info", f"hf://{NAME}"]) == 0
    assert fitted.digest_ in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "in.smi"), "-m", f"hf://{NAME}", "-o", str(tmp_path / "out.csv")]) == 1
    assert f"'hf://{NAME}' holds an embedder" in capsys.readouterr().err
    assert main(["embed", str(tmp_path / "in.smi"), "-m", "hf://no/such", "-o", str(out)]) == 1
    assert "'hf://no/such': there is no such repository" in capsys.readouterr().err


def test_errors_of_addresses(hub, fitted):
    fitted.push_to_hub(NAME)
    for address in ("hf://", "hf://cells", "hf://a/b/c", f"hf://{NAME}@", "hf://../cells"):
        with pytest.raises(ValueError, match="write hf://owner/name"):
            load_pretrained(address)
    with pytest.raises(FileNotFoundError, match=r"'hf://no/such': there is no such repository.*hf auth login"):
        load_pretrained("hf://no/such")
    with pytest.raises(FileNotFoundError, match=rf"'hf://{NAME}@next': the repository has no such revision"):
        load_pretrained(f"hf://{NAME}@next")


def test_errors_of_files(hub):
    hub.commit("a/empty", {"README.md": b""})
    hub.commit("a/other", {"model.safetensors": save({"x": np.zeros(3)})})
    hub.commit("a/text", {"model.safetensors": b"no tensors"})
    with pytest.raises(FileNotFoundError, match=r"'hf://a/empty': the repository has no model.safetensors"):
        load_pretrained("hf://a/empty")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match=f"model.safetensors of 'hf://a/{name}' was not written by mocop_sklearn"):
            MoCoPEmbedder.load(f"hf://a/{name}")
    with pytest.raises(ValueError, match="not written by mocop_sklearn"):
        MoCoPClassifier.load("hf://a/other")
    with pytest.raises(ValueError, match="not written by mocop_sklearn"):
        report("hf://a/other")


def test_offline(hub, fitted, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=f"'hf://{NAME}' is not in the cache.*HF_HUB_OFFLINE"):
        load_pretrained(f"hf://{NAME}")
    with pytest.raises(ConnectionError, match=f"'hf://{NAME}' cannot be reached offline"):
        fitted.push_to_hub(NAME)


def test_refused(hub, fitted, monkeypatch):
    with pytest.raises(ValueError, match=r"repo_id='cells' .* write owner/name"):
        fitted.push_to_hub("cells")
    with pytest.raises(OSError, match=rf"'hf://{NAME}': the hub answered .*401.* hf auth login"):
        fitted.push_to_hub(NAME, token="hf_wrong")
    hub.status = 403
    with pytest.raises(OSError, match="403"):
        fitted.push_to_hub(NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=f"'hf://{NAME}': the hub cannot be reached"):
        fitted.push_to_hub(NAME)


def test_without_huggingface_hub(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: load_pretrained(f"hf://{NAME}"), lambda: fitted.push_to_hub(NAME)):
        with pytest.raises(
            ImportError, match=rf"'hf://{NAME}' needs huggingface_hub: pip install 'mocop-sklearn\[hub\]'"
        ):
            call()
