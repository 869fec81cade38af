"""Arms of the comparison: what turns training molecules and labels into predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.model_file import PretrainedModel
from mocop_sklearn.molecules import BlockScaler
from qsar import peers
from qsar.corpora import SHARES
from qsar.features import FIXED, Lookup
from qsar.tasks import TaskSet

N_TREES = 100
TITLES = {"ecfp": "ECFP", "counts": "ECFP", "descriptors": "descriptors"}
HEAD_TITLES = {"svm": "SVM"}
# What stands on an embedding: the model, and the features beside it
HEADS = (
    ("linear",),
    ("forest",),
    ("boosting",),
    ("forest", "ecfp"),
    ("forest", "descriptors"),
    ("forest", "ecfp", "descriptors"),
    ("svm",),
    ("svm", "descriptors", "counts"),
)

MLP = (("head", "mlp"), ("learning_rate", 3e-4), ("max_epochs", 10))
# What both benchmarks compare by default, by label: on all pairs of split and seed, and on fewer of them
MAIN = (
    "scratch",
    "fine-tuned [distilled]",
    "embedding + SVM [distilled]",
    "embedding ⧺ descriptors ⧺ ECFP + SVM [distilled]",
    "ECFP + forest",
    "descriptors + forest",
    "descriptors ⧺ ECFP + SVM",
)
# The same on large sets, which only some of the further arms are run on
LARGE = (*MAIN, "MiniMol + SVM", "fine-tuned [untrained]")
FURTHER = (
    "MiniMol + SVM",
    "fine-tuned [untrained]",
    "embedding + SVM [untrained]",
    "embedding + MLP [distilled]",
    "embedding + SVM [cells]",
    "fine-tuned [toxcast]",
    "embedding + SVM [toxcast]",
    *(f"embedding + SVM [{part}]" for part in SHARES),
)


@dataclass(frozen=True)
class Arm:
    """One way to predict.

    Attributes
    ----------
    name : str
    corpus : str
        What the encoder was pretrained on, "-" for nothing.
    objective : str
        How: "contrastive", "multitask" or "untrained"; "given" for a model file of the user; "-" for an arm without a
        pretrained encoder.
    model : {"network", "svm", "forest", "linear", "boosting", "chemprop"}
    features : tuple of str
        For all but networks: "embedding", "ecfp", "counts", "descriptors", "minimol", "cell count", side by side.
    frozen : bool
        For networks: only the head is trained.
    parameters : tuple of (name, value)
        For networks: what differs from the defaults.
    """

    name: str
    corpus: str = "-"
    objective: str = "-"
    model: str = "network"
    features: tuple[str, ...] = ()
    frozen: bool = False
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """The name, with the corpus where there is one."""
        return label(self.name, self.corpus)


def label(name: str, corpus: str) -> str:
    """Name of an arm with the corpus that its encoder learned from."""
    return name if corpus == "-" else f"{name} [{corpus}]"


def arms(corpora: Sequence[str], given: Sequence[str] = ()) -> list[Arm]:
    """All arms, those with a pretrained encoder once for each corpus and each model that is given."""
    found = [
        Arm("scratch"),
        Arm("chemprop", model="chemprop"),
        Arm("ECFP + forest", model="forest", features=("ecfp",)),
        Arm("descriptors + forest", model="forest", features=("descriptors",)),
        Arm("ECFP ⧺ descriptors + forest", model="forest", features=("ecfp", "descriptors")),
        Arm("descriptors ⧺ ECFP + SVM", model="svm", features=("descriptors", "counts")),
        Arm("MiniMol + SVM", model="svm", features=("minimol",)),
        Arm("cell count + linear", model="linear", features=("cell count",)),
        Arm("untrained + forest", "-", "untrained", "forest", ("embedding",)),
        # the encoder of ``distilled`` and its recipe, from random weights: what is left is pretraining
        Arm("fine-tuned", "untrained", "untrained"),
        Arm("embedding + SVM", "untrained", "untrained", "svm", ("embedding",)),
    ]
    encoders = [(corpus, objective) for corpus in corpora for objective in ("contrastive", "multitask")]
    for corpus, objective in [*encoders, *((name, "given") for name in given)]:
        how = " (multitask)" if objective == "multitask" else ""
        found += [
            Arm(f"fine-tuned{how}", corpus, objective),
            Arm(f"fine-tuned{how} × 3", corpus, objective, parameters=(("n_estimators", 3),)),
            Arm(f"linear probe{how}", corpus, objective, frozen=True),
            Arm(f"embedding{how} + MLP", corpus, objective, frozen=True, parameters=MLP),
        ]
        for model, *others in HEADS:
            features = " ⧺ ".join([f"embedding{how}", *(TITLES[name] for name in others)])
            found.append(
                Arm(f"{features} + {HEAD_TITLES.get(model, model)}", corpus, objective, model, ("embedding", *others))
            )
    return found


@dataclass
class Room:
    """What arms work with.

    Attributes
    ----------
    lookup : Lookup
        Features of all molecules.
    encoder : callable
        (corpus, objective, seed) → pretrained model.
    network : dict
        Parameters of the networks that are trained on labels, where they are not the defaults.
    """

    lookup: Lookup
    encoder: Callable[[str, str, int], PretrainedModel]
    network: dict[str, Any]

    def features(self, arm: Arm, smiles: Sequence[str], seed: int) -> list[np.ndarray]:
        """Blocks of features of an arm."""
        blocks = []
        for name in arm.features:
            if name == "embedding":
                model = self.encoder(arm.corpus, arm.objective, seed)
                embedder = MoCoPEmbedder(pretrained=model).fit(smiles[:1])
                block = self.lookup.rows(f"embedding {model.digest}", embedder.transform, smiles)
            else:
                block = self.lookup.rows(name, FIXED[name], smiles)
            if name == "cell count":
                known = np.isfinite(block)
                if known.mean() < 0.5:
                    raise ValueError("fewer than half of the molecules have a cell count")
                block = np.where(known, block, np.median(block[known]))
            blocks.append(block)
        return blocks


def recipe(arm: Arm, kind: str) -> dict[str, Any]:
    """How a network of this arm is trained by default: what docs/method.md chose by cross-validation."""
    given = _estimator(kind)().get_params()
    fixed = {name: given[name] for name in ("batch_size", "validation_fraction")}
    return _estimator(kind)._AUTOMATIC[arm.objective != "-"] | fixed | dict(arm.parameters)


def _estimator(kind: str) -> type[MoCoPClassifier | MoCoPRegressor]:
    return MoCoPClassifier if kind == "classification" else MoCoPRegressor


def predict(arm: Arm, room: Room, tasks: TaskSet, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Scores of the test rows, shape (n_test, n_tasks); NaN for a task that cannot be learned."""
    smiles, kind = np.array(tasks.smiles, dtype=object), tasks.spec.kind
    if arm.model == "network":
        return _network(arm, room, kind, smiles[train].tolist(), tasks.labels[train], smiles[test].tolist(), seed)
    if arm.model == "chemprop":
        return peers.chemprop(kind, smiles[train].tolist(), tasks.labels[train], smiles[test].tolist(), seed)
    blocks = room.features(arm, [*smiles[train], *smiles[test]], seed)
    features, widths = np.hstack(blocks), [block.shape[1] for block in blocks]
    X, X_test, Y = features[: len(train)], features[len(train) :], tasks.labels[train]
    predicted = np.full((len(test), Y.shape[1]), np.nan)
    for task, y in enumerate(Y.T):
        known = ~np.isnan(y)
        classes = len(np.unique(y[known]))
        if classes < 1 or (kind == "classification" and classes < 2):
            continue
        model = head_model(arm.model, kind, seed, widths).fit(X[known], y[known])
        predicted[:, task] = scores_of(model, X_test)
    return predicted


def _network(
    arm: Arm, room: Room, kind: str, smiles: list[str], labels: np.ndarray, test: list[str], seed: int
) -> np.ndarray:
    start = None if arm.objective == "-" else room.encoder(arm.corpus, arm.objective, seed)
    estimator = _estimator(kind)(
        pretrained=start,
        standardize=start.standardize if start else None,  # the molecules are canonical parents
        freeze="encoder" if arm.frozen else "none",
        random_state=seed,
        **(dict(arm.parameters) | room.network),
    )
    if kind == "regression":
        return estimator.fit(smiles, labels).predict(test).reshape(len(test), -1)
    scores = estimator.fit(smiles, labels).decision_function(test).reshape(len(test), -1)
    scores[:, estimator.unscorable_tasks_] = np.nan
    return scores


def scores_of(model: Any, X: np.ndarray) -> np.ndarray:
    """What ranks rows: the value, the probability of the second class, or the distance from the boundary."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X)[:, 1])
    return np.asarray(model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X))


def head_model(name: str, kind: str, seed: int, widths: Sequence[int] = ()) -> Any:
    """Return the model that stands on features: "svm", "pls", "forest", "boosting" or "linear".

    ``widths`` are the numbers of columns of the blocks, which the first two balance.
    """
    classify = kind == "classification"
    if name == "pls":
        return _on_blocks(widths, GridSearchCV(PLSRegression(scale=False), {"n_components": [2, 4, 6]}, cv=3))
    if name == "svm":
        gamma = 1 / len(widths)
        model = _on_blocks(widths, SVC(C=1.0, gamma=gamma) if classify else SVR(C=3.0, epsilon=0.1, gamma=gamma))
        return model if classify else TransformedTargetRegressor(model, transformer=StandardScaler())
    if name == "forest":
        if classify:
            return RandomForestClassifier(N_TREES, random_state=seed)
        return RandomForestRegressor(N_TREES, max_features=0.1, random_state=seed)
    if name == "boosting":
        boosting = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        return make_pipeline(
            PCA(0.99, svd_solver="full", random_state=seed),
            boosting(max_iter=50, min_samples_leaf=5, early_stopping=False, random_state=seed),
        )
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=1e-3, max_iter=300) if classify else Ridge(alpha=1000.0)
    )


def _on_blocks(widths: Sequence[int], model: Any) -> Any:
    """Put a model behind a scaler of blocks of columns; rows of NaN are molecules that MiniMol refuses."""
    ends = np.cumsum([0, *widths]).tolist()
    parts = [(f"block{i}", BlockScaler(), slice(*ends[i : i + 2])) for i in range(len(widths))]
    return make_pipeline(ColumnTransformer(parts), FunctionTransformer(np.nan_to_num), model)
