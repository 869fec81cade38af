"""``push_to_hub``: a fitted estimator and its model card in a repository on the Hugging Face Hub."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, cast

from sklearn.utils.validation import check_is_fitted

from ..model_file._hub import CARD_NAME, MODEL_NAME, SCHEME, upload
from ..model_file._shipped import list_models
from ..utils._words import in_words, spaced
from ._html import FittedSummary

_TAGS = ("cell-painting", "chemistry", "drug-discovery", "mocop", "molecules", "scikit-learn")
_USES = {
    "MoCoPEmbedder": 'vectors = MoCoPEmbedder(pretrained="{address}").fit(smiles).transform(smiles)',
    "MoCoPClassifier": 'probabilities = MoCoPClassifier.load("{address}").predict_proba(smiles)',
    "MoCoPRegressor": 'numbers = MoCoPRegressor.load("{address}").predict(smiles)',
}
_KINDS = {
    "MoCoPEmbedder": "It turns molecules into vectors; it can also be fine-tuned.",
    "MoCoPClassifier": "It predicts classes of molecules.",
    "MoCoPRegressor": "It predicts numbers for molecules.",
}


class OnHub(FittedSummary):
    """Mixin of estimators that can be written to the hub."""

    model_: Any

    def push_to_hub(
        self,
        repo_id: str,
        *,
        card: str | None = None,
        license: str | None = None,
        private: bool | None = None,
        commit_message: str | None = None,
        token: str | None = None,
    ) -> str:
        """Write the fitted model, with a model card, to a repository on the Hugging Face Hub.

        The extra ``hub`` installs huggingface_hub, and ``hf auth login`` or ``HF_TOKEN`` says who you are. The file is
        that of ``save``: it gives away the keys of the training molecules, and parameters such as names of files.

        Parameters
        ----------
        repo_id : str
            ``"owner/name"``. The repository is created if there is none; otherwise it gets another commit.
        card : str, optional
            The text of the model card, Markdown. By default it tells what the model is, what it was trained on and how
            to use it; a model that comes with the package has a card of its own.
        license : str, optional
            Identifier of the licence, such as ``"mit"``, for the card. By default the card states none.
        private : bool, optional
            Whether a new repository is private. By default what the owner has set.
        commit_message : str, optional
        token : str, optional
            By default the one of ``hf auth login`` or ``HF_TOKEN``.

        Returns
        -------
        str
            The address of the commit, ``"hf://owner/name@commit"``, for ``pretrained=`` and ``load``.

        Raises
        ------
        ImportError
            Without huggingface_hub.
        ValueError
            When ``repo_id`` is not the name of a repository.
        OSError
            When the hub cannot be reached, or refuses.
        """
        check_is_fitted(self)
        name = type(self).__name__
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_NAME
            cast(Any, self).save(path)
            text = self._card(repo_id, card, license)
            files: dict[str, bytes | Path] = {CARD_NAME: text.encode(), MODEL_NAME: path}
            return upload(repo_id, files, commit_message or f"Upload a {name} of mocop-sklearn", private, token)

    def _card(self, repo_id: str, text: str | None, license: str | None) -> str:
        """Return the model card: what the hub reads of it, and the text."""
        shipped = next((model for model in list_models() if model.digest == getattr(self, "digest_", None)), None)
        if shipped is not None:
            text = shipped.card if text is None else text
            license = license or shipped.license.partition(";")[0].lower()
        stated = {"license": license} if license else {}
        fields = {"library_name": "mocop-sklearn", **stated, "pipeline_tag": "graph-ml", "tags": list(_TAGS)}
        # JSON is YAML
        front = "\n".join(f"{field}: {json.dumps(value)}" for field, value in fields.items())
        return f"---\n{front}\n---\n\n{self._text_of_card(repo_id) if text is None else text.strip()}\n"

    def _text_of_card(self, repo_id: str) -> str:
        name = next(cls.__name__ for cls in type(self).__mro__ if cls.__name__ in _KINDS)
        known = {
            "estimator": name,
            **self._summary(),
            "digest": self.model_.digest,
            "provenance": in_words(self.model_.provenance),
        }
        rows = [f"| {spaced(entry)} | {_cell(value)} |" for entry, value in known.items() if value]
        return "\n".join(
            [
                f"# {repo_id.rpartition('/')[2]}",
                "",
                f"A graph neural network of [mocop-sklearn](https://pypi.org/project/mocop-sklearn/). {_KINDS[name]}",
                "",
                "```python",
                '# pip install "mocop-sklearn[hub]"',
                f"from mocop_sklearn import {name}",
                "",
                'smiles = ["CCO", "c1ccccc1"]',
                _USES[name].format(address=SCHEME + repo_id),
                "```",
                "",
                "| | |",
                "|---|---|",
                *rows,
                "",
                "`mocop_sklearn.model_selection.overlap` tells which molecules it has seen, from keys in the file.",
            ]
        )


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", r"\|")
