"""The main job from end to end on data that the package makes: pretrain, save, embed, predict.

Simulated Cell Painting plates of real molecules; a fifth of the molecules is held out. Writes a table, a
picture and a model file into demo_output/.

    python benchmarks/demo.py            under five minutes on two cores
    python benchmarks/demo.py --quick    a smoke run
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import mean_by_group, print_table
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from simulation import planted_retrieval
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import Bunch

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.display import RetrievalDisplay, TrainingHistoryDisplay
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.model_selection import molecule_groups
from mocop_sklearn.profiles import ProfileNormalizer

OUTPUT = Path("demo_output")


def ecfp(smiles: np.ndarray) -> np.ndarray:
    """Morgan fingerprints, radius 2, 2048 bits."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles])


def retrieval_rows(
    models: dict[str, MoCoPEmbedder], data: Bunch, profiles: np.ndarray, unseen: np.ndarray
) -> tuple[list[list[str]], tuple[np.ndarray, np.ndarray]]:
    """Rows of a table of retrieval, and the two views of the unseen molecules by the first model."""
    well_is_unseen = np.isin(data.molecule_of_well, unseen)
    group = np.searchsorted(unseen, data.molecule_of_well[well_is_unseen])
    views = {}
    for name, model in models.items():
        projector = MoCoPEmbedder(pretrained=model, output="projection").fit(data.molecules)
        of_profiles = mean_by_group(projector.transform_profiles(profiles[well_is_unseen]), group)
        views[name] = projector.transform(data.molecules[unseen]), of_profiles
    reports = {name: retrieval_report(*both) for name, both in views.items()}
    reports["planted optimum"] = planted_retrieval(data, unseen)
    rows = [[name, *(f"{r[key]:.3f}" for key in ("top1", "top10", "normalized_rank"))] for name, r in reports.items()]
    n = len(unseen)
    return [*rows, ["chance", f"{1 / n:.3f}", f"{10 / n:.3f}", "0.500"]], next(iter(views.values()))


def assay_rows(embedder: Any, untrained: Any, data: Bunch, seen: np.ndarray, unseen: np.ndarray) -> list[list[str]]:
    """Rows of a table of scores on an assay, predicted for unseen molecules from the structure alone."""
    forest = RandomForestClassifier(300, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    pipelines = {
        "MoCoP + logistic regression": make_pipeline(FrozenEstimator(embedder), linear),
        "MoCoP + random forest": make_pipeline(FrozenEstimator(embedder), forest),
        "untrained encoder + random forest": make_pipeline(FrozenEstimator(untrained), forest),
        "ECFP + random forest": make_pipeline(FunctionTransformer(ecfp), forest),
    }
    rows = []
    for name, pipeline in pipelines.items():
        pipeline.fit(data.molecules[seen], data.task[seen])
        probability = pipeline.predict_proba(data.molecules[unseen])[:, 1]
        rows.append([name, f"{roc_auc_score(data.task[unseen], probability):.3f}"])
    return [*rows, ["chance", "0.500"]]


def draw(embedder: MoCoPEmbedder, views: tuple[np.ndarray, np.ndarray]) -> None:
    """Write a picture of the training and of the retrieval."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    TrainingHistoryDisplay.from_estimator(embedder, ax=left)
    RetrievalDisplay.from_embeddings(*views, ax=right)
    figure.savefig(OUTPUT / "demo.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: few molecules, few epochs")
    quick = parser.parse_args().quick
    start = time.perf_counter()
    OUTPUT.mkdir(exist_ok=True)

    # 1. Wells: molecules on plates, with controls. Each plate is scaled on its own controls.
    data = make_paired_profiles(n_molecules=300 if quick else 1500, random_state=0)
    plates, controls = data.metadata["Metadata_Plate"], data.is_control
    profiles = ProfileNormalizer().fit_transform(data.profiles, plates=plates, controls=controls)
    print(f"{len(profiles)} wells on {len(set(plates))} plates, {len(data.molecules)} molecules, "
          f"{profiles.shape[1]} features")  # fmt: skip

    # 2. Hold out a fifth of the molecules.
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    seen, unseen = next(splitter.split(data.molecules, groups=molecule_groups(data.molecules)))
    well_is_seen = np.isin(data.molecule_of_well, seen)
    wells = {"X": data.smiles[well_is_seen], "profiles": profiles[well_is_seen]}

    # 3. Pretrain, save, load.
    parameters = {"random_state": 0, "verbose": 1} | ({"max_epochs": 3} if quick else {})
    MoCoPEmbedder(**parameters).fit(**wells).save(OUTPUT / "mocop.safetensors")
    embedder = MoCoPEmbedder.load(OUTPUT / "mocop.safetensors")
    untrained = MoCoPEmbedder(random_state=0, max_epochs=0).fit(**wells)

    # 4. Do unseen molecules find their profiles, and profiles their molecules?
    rows, views = retrieval_rows({"MoCoP": embedder, "untrained encoder": untrained}, data, profiles, unseen)
    print(f"\nRetrieval among {len(unseen)} unseen molecules, mean of both directions\n")
    print_table(["", "top-1", "top-10", "normalised rank"], rows)

    # 5. Predict an assay from the structure alone, for the same unseen molecules.
    print("\nAn assay that depends on the planted biology, predicted for unseen molecules\n")
    print_table(["", "AUROC"], assay_rows(embedder, untrained, data, seen, unseen))

    # 6. A picture.
    draw(embedder, views)
    print(f"\n{OUTPUT}/demo.png and {OUTPUT}/mocop.safetensors written, {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
