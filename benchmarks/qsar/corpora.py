"""Pretraining corpora, each of measured data, and the encoders that learn from them.

No corpus holds a molecule of a test part (by the first block of the InChIKey), unless that is what a benchmark wants
to show, nor an assay whose name says that it measures what a downstream task is named by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from common import DATA
from scipy.linalg import block_diag
from sklearn.impute import SimpleImputer

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor
from mocop_sklearn.model_file import PretrainedModel
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import canonical_smiles
from mocop_sklearn.profiles import ProfileScaler, feature_columns
from qsar.tasks import label_columns

CELL_PAINTING = (
    "comas_profiles",
    "cell_injury_wells",
    "dye_testing_wells",
    "jump_moa_scope_wells",
    "lincs_plate_SQ00015054",
    "jump_cpg0016_harmony_subset",
)
# What ToxCast calls the proteins that tasks name by their genes
ALIASES = {
    "ADRA1D": "ADRA1",
    "ADRA2B": "ADRA2",
    "CHRM1": "HM1",
    "CHRM3": "HM3",
    "CHRM4": "HM4",
    "DRD2": "DRD2S|BDR_",
    "ESR1": "(?<![A-Z])ERA|EREGFP|ERE_CIS|[BH]ER$|MERA",
    "HRH1": "HH1$",
    "HTR1A": "5HT1|5HT_",
    "HTR2A": "5HT2A",
    "HTR2C": "5HT2C",
    "HTR6": "5HT6",
    "KDR": "VEGFR2",
    "OPRK1": "OPIATEK|ROPIATE",
    "PTGS1": "COX1",
    "SIGMAR1": "SIGMA",
    "SLC6A2": "_[HR]NET$",
    "SLC6A4": "SERT",
}
# Assays of the enzymes and transporters that ADME tasks are about, by name or by ChEMBL's number of the target
RELATED = re.compile(
    r"CYP|HERG|ABCB|ABCG|^CHEMBL(289|340|3397|3356|3622|4729|4878|5282|240|4302|5393|3004|1743128|1641347)$",
    re.IGNORECASE,
)

# Families of proteins, by the genes of tasks that are in them, and ToxCast's assays that measure any member
FAMILIES = {
    "ADR|CHRM|CNR|DRD|HRH|HTR|OPR": "_GPCR_",
    "ABL1|CDK|EGFR|FLT|KDR|LCK": "AMPK|AURA$|CK1D|FGFR|GSK3|TRKA|PI3K|VEGFR|EGFR|STRESSKINASE",
    "ESR|PPAR": "_NR_|^OT_|TOX21_(AR|ER|ERA|GR|FXR|PPAR[A-Z]|TR|VDR)_|ATG_.*_TRANS_"
    "|ATG_(DR4_LXR|DR5|ERE|GRE|IR1|PBREM|PPRE|PXRE|RORE|VDRE)_",
    "SLC6": "_TR_",
    "CACNA|KCN": "_IC_",
    "CYP": "AROMATASE|CEETOX",
    "PTGS": "COX|PGE2",
    "SIGMAR": "SIGMA",
}


@dataclass(frozen=True)
class Corpus:
    """Molecules, one row each, with a second view."""

    name: str
    smiles: list[str]
    profiles: np.ndarray  # (n_molecules, n_features), NaN where not measured
    binary: bool


def morphology(tasks: Collection[str] = ()) -> Corpus:
    """Measured Cell Painting: the sets share few features, so each has columns of its own, 0 for other sets."""
    molecules: list[str] = []
    blocks: list[np.ndarray] = []
    for name in CELL_PAINTING:
        frame = pd.read_parquet(DATA / f"{name}.parquet")
        usable = frame["Metadata_SMILES"].notna() & (frame["Metadata_SMILES_Status"] != "unparsable")
        if "Metadata_IsNegcon" in frame:
            usable &= ~frame["Metadata_IsNegcon"].astype(bool)
        frame = frame[usable]
        wells = frame[feature_columns(frame)].to_numpy(np.float32)
        filled = np.isfinite(wells).mean(axis=0) > 0.9
        scaled = ProfileScaler(n_components=32).fit_transform(wells[:, filled])
        mean = pd.DataFrame(scaled).groupby(frame["Metadata_SMILES"].to_numpy()).mean()
        molecules += mean.index.tolist()
        blocks.append(mean.to_numpy(np.float32))
    return Corpus("morphology", molecules, block_diag(*blocks), binary=False)


def toxcast(tasks: Collection[str] = ()) -> Corpus:
    """Measured results of ToxCast's assays, of which 29 % are filled."""
    frame = pd.read_parquet(DATA / "bioactivity" / "bio_toxcast617.parquet")
    return Corpus("toxcast", *_assays(frame, tasks), binary=True)


def other_families(tasks: Collection[str] = ()) -> Corpus:
    """ToxCast's assays that measure no protein of a family that a task's protein belongs to."""
    frame = pd.read_parquet(DATA / "bioactivity" / "bio_toxcast617.parquet")
    kin = [c for c in label_columns(frame) if is_kin(c, tasks)]
    return Corpus("toxcast other families", *_assays(frame.drop(columns=kin), tasks), binary=True)


def thinned(tasks: Collection[str] = ()) -> Corpus:
    """ToxCast with as many assays as :func:`other_families` has, drawn from all: fewer, but of each family."""
    whole = toxcast(tasks)
    drawn = np.random.default_rng(0).permutation(whole.profiles.shape[1])[: other_families(tasks).profiles.shape[1]]
    return Corpus("toxcast thinned", whole.smiles, whole.profiles[:, np.sort(drawn)], binary=True)


def part(share: float, tasks: Collection[str] = ()) -> Corpus:
    """A share of ToxCast's molecules, with all assays; a smaller part is within a larger one."""
    whole = toxcast(tasks)
    order = np.random.default_rng(0).permutation(len(whole.smiles))
    drawn = np.sort(order[: round(share * len(order))])
    return Corpus("toxcast in part", [whole.smiles[row] for row in drawn], whole.profiles[drawn], binary=True)


def bioassays(tasks: Collection[str] = ()) -> Corpus:
    """Measured results of three sources below each other: ToxCast, the assays of Moshkov et al., ChEMBL at 6.5."""
    parts = [toxcast(tasks)]
    for name in ("bio_moshkov250", "bio_chembl661_pxc50"):
        frame = pd.read_parquet(DATA / "bioactivity" / f"{name}.parquet")
        smiles, labels = _assays(frame, tasks)
        if name == "bio_chembl661_pxc50":
            labels = np.where(np.isnan(labels), np.nan, labels > 6.5).astype(np.float32)
        parts.append(Corpus(name, smiles, labels, binary=True))
    profiles = np.full((sum(len(p.smiles) for p in parts), sum(p.profiles.shape[1] for p in parts)), np.nan, np.float32)
    row = column = 0
    for part in parts:
        n, width = part.profiles.shape
        profiles[row : row + n, column : column + width] = part.profiles
        row, column = row + n, column + width
    return Corpus("bioassays", [s for part in parts for s in part.smiles], profiles, binary=True)


def _assays(frame: pd.DataFrame, tasks: Collection[str]) -> tuple[list[str], np.ndarray]:
    columns = [c for c in label_columns(frame) if not is_related(c, tasks)]
    return frame["smiles"].tolist(), frame[columns].to_numpy(np.float32)


def is_related(assay: str, tasks: Collection[str]) -> bool:
    """Whether an assay measures an ADME protein, or a protein whose gene is the name of a downstream task."""
    genes = [task for task in tasks if re.fullmatch(r"[A-Z][A-Z0-9]{2,}", task)]
    # NVS_GPCR_hAdrb2 is ADRB2, ATG_PPARg is PPARG
    names = [rf"(?<![A-Z0-9])[HRBG]?{gene}(?![A-Z0-9])|{ALIASES.get(gene, '(?!)')}" for gene in genes]
    return bool(RELATED.search(assay)) or any(re.search(name, assay.upper()) for name in names)


def is_kin(assay: str, tasks: Collection[str]) -> bool:
    """Whether an assay measures a protein of the family of one whose gene is the name of a downstream task."""
    families = [assays for genes, assays in FAMILIES.items() if any(re.match(genes, task) for task in tasks)]
    return any(re.search(family, assay.upper()) for family in families)


# Parts of ToxCast, for the curve over the size of the corpus
SHARES = {f"toxcast {100 * share:g} %": share for share in (0.1, 0.25, 0.5)}
CORPORA: dict[str, Callable[[Collection[str]], Corpus]] = {
    "morphology": morphology,
    "toxcast": toxcast,
    "toxcast other families": other_families,
    "toxcast thinned": thinned,
    "bioassays": bioassays,
    **{name: partial(part, share) for name, share in SHARES.items()},
}


def without(corpus: Corpus, molecules: Collection[str]) -> Corpus:
    """The corpus without invalid or unmeasured rows, and without the connectivities of ``molecules``."""
    canonical = canonical_smiles(corpus.smiles)
    keep = np.flatnonzero([s is not None for s in canonical] & np.isfinite(corpus.profiles).any(axis=1))
    if molecules:
        keep = keep[~overlap(list(molecules), [canonical[row] for row in keep], standardize=None)]
    return Corpus(corpus.name, [str(canonical[row]) for row in keep], corpus.profiles[keep], corpus.binary)


# Chosen without any downstream molecule in pretraining, on cross-validation of downstream training parts
RECIPE: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "multitask": {"learning_rate": 1e-3, "batch_size": 128, "validation_fraction": 0.1, "patience": None},
}


def pretrain(corpus: Corpus, objective: str, seed: int, epochs: int) -> PretrainedModel:
    """Learn an encoder.

    Parameters
    ----------
    objective : {"contrastive", "multitask"}
        Contrasting molecules with profiles, or predicting the profile from the molecule.
    """
    if objective == "multitask":
        learner = MoCoPClassifier if corpus.binary else MoCoPRegressor
        tuned = learner(max_epochs=epochs, standardize=None, random_state=seed, **RECIPE["multitask"])
        return tuned.fit(corpus.smiles, corpus.profiles).model_
    # what was not measured is 0: between inactive, -1, and active, 1, or the mean of a whitened profile
    transformer = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    profiles = 2 * corpus.profiles - 1 if corpus.binary else corpus.profiles
    embedder = MoCoPEmbedder(profile_transformer=transformer, standardize=None, max_epochs=epochs, random_state=seed)
    return embedder.set_params(**RECIPE["contrastive"]).fit(corpus.smiles, profiles=profiles).model_


def untrained(seed: int) -> PretrainedModel:
    """An encoder of the same shape with its random initial weights."""
    embedder = MoCoPEmbedder(
        standardize=None, max_epochs=0, profile_transformer=SimpleImputer(), batch_size=2, random_state=seed
    )
    return embedder.fit(["C", "CC", "CCC"], profiles=np.eye(3, 16)).model_
