"""Published figures on the same splits, for the tables that compare.

Random forests on Morgan fingerprints, Chemprop and CheMeleon: CheMeleon's repository, five seeds. TDC leaders: June
2024, as MiniMol's authors quote them. InfoAlign (ICLR 2025) and CHMR (AAAI 2026): their papers. The forests on ChEMBL2K
and Broad6K were computed for the data collection, because the published ones score hard predictions, as was the one in
``FOREST`` on Biogen's tasks, which has learned from the validation part too, as ours do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """What there is to compare with: a simple honest model, a strong one, and the best that was published."""

    metric: str
    floor: float
    strong: float
    best: float
    names: tuple[str, str, str]
    scale: float = 1.0


LEADER = "TDC leaderboard"
BARS = {
    "bio_chembl2k": Bar("auroc", 77.7, 81.3, 84.7, ("forest", "InfoAlign", "CHMR"), 100),
    "bio_broad6k": Bar("auroc", 70.0, 70.0, 71.4, ("forest", "InfoAlign", "CHMR"), 100),
    "bio_toxcast617": Bar("auroc", 60.4, 66.4, 69.3, ("forest", "InfoAlign", "CHMR"), 100),
    "adme_biogen6": Bar("mae", 52.6, 49.4, 40.9, ("forest", "InfoAlign", "CHMR"), 100),
    "adme_fang_HLM": Bar("mae", 0.443, 0.373, 0.338, ("forest", "Chemprop", "MiniMol")),
    "adme_fang_Sol": Bar("mae", 0.446, 0.405, 0.372, ("forest", "Chemprop", "CheMeleon")),
    "ace_moleculeace25": Bar("rmse", 0.694, 0.677, 0.672, ("forest", "SVM on ECFP", "CheMeleon")),
    "bio_moshkov250": Bar("auroc", 0.61, 0.609, 0.654, ("cell count", "Chemprop", "fusion with profiles")),
    "bio_hofmarcher209": Bar("auroc", 0.66, 0.714, 0.731, ("cell count", "CLOOME, images", "ResNet, images")),
    "tdc_half_life_obach": Bar("spearman", 0.306, 0.396, 0.562, ("forest", "ADMETboost", LEADER)),
    "tdc_vdss_lombardo": Bar("spearman", 0.512, 0.612, 0.713, ("forest", "ADMETboost", LEADER)),
    "tdc_clearance_microsome_az": Bar("spearman", 0.438, 0.603, 0.630, ("forest", "CheMeleon", LEADER)),
    "tdc_lipophilicity_astrazeneca": Bar("mae", 0.717, 0.462, 0.456, ("forest", "Chemprop", "CheMeleon")),
    "tdc_ppbr_az": Bar("mae", 9.89, 7.82, 7.53, ("forest", "CheMeleon", LEADER)),
    # Not in the collection's list of bars; the same sources
    "tdc_caco2_wang": Bar("mae", 0.415, 0.372, 0.276, ("forest", "Chemprop", LEADER)),
    "tdc_bbb_martins": Bar("auroc", 0.867, 0.886, 0.924, ("forest", "CheMeleon", "MiniMol")),
    "tdc_pgp_broccatelli": Bar("auroc", 0.915, 0.927, 0.942, ("forest", "CheMeleon", "MiniMol")),
    "tdc_herg": Bar("auroc", 0.789, 0.867, 0.880, ("forest", "CheMeleon", LEADER)),
    "tdc_dili": Bar("auroc", 0.875, 0.906, 0.956, ("forest", "Chemprop", "MiniMol")),
    "tdc_cyp2c9_substrate_carbonmangels": Bar("auprc", 0.366, 0.426, 0.474, ("forest", "CheMeleon", "MiniMol")),
    "tdc_cyp2d6_substrate_carbonmangels": Bar("auprc", 0.651, 0.668, 0.736, ("forest", "CheMeleon", LEADER)),
    "tdc_cyp3a4_substrate_carbonmangels": Bar(
        "auroc", 0.654, 0.609, 0.676, ("forest", "CheMeleon", "forest, more features")
    ),
    "tdc_hia_hou": Bar("auroc", 0.987, 0.989, 0.993, ("ADMETboost", LEADER, "MiniMol")),
}
# The sets of InfoAlign's and CHMR's tables
INFOALIGN = ("bio_chembl2k", "bio_broad6k", "bio_toxcast617", "adme_biogen6")

# Mean and standard deviation over five seeds of a random forest on Morgan fingerprints, and of Chemprop from scratch
FOREST = {
    "tdc_caco2_wang": ("mae", 0.415, 0.015),
    "tdc_clearance_microsome_az": ("spearman", 0.438, 0.008),
    "tdc_half_life_obach": ("spearman", 0.306, 0.014),
    "tdc_vdss_lombardo": ("spearman", 0.512, 0.008),
    "tdc_lipophilicity_astrazeneca": ("mae", 0.717, 0.004),
    "tdc_ppbr_az": ("mae", 9.887, 0.047),
    "tdc_bbb_martins": ("auroc", 0.867, 0.006),
    "tdc_pgp_broccatelli": ("auroc", 0.915, 0.006),
    "tdc_herg": ("auroc", 0.789, 0.008),
    "tdc_dili": ("auroc", 0.875, 0.012),
    "tdc_cyp2c9_substrate_carbonmangels": ("auprc", 0.366, 0.007),
    "tdc_cyp2d6_substrate_carbonmangels": ("auprc", 0.651, 0.009),
    "tdc_cyp3a4_substrate_carbonmangels": ("auroc", 0.654, 0.005),
    "adme_fang_HLM": ("mae", 0.443, 0.002),
    "adme_fang_Sol": ("mae", 0.446, 0.002),
    "adme_biogen6": ("mae", 0.516, float("nan")),
    "bio_chembl2k": ("auroc", 0.777, float("nan")),
    "bio_broad6k": ("auroc", 0.700, float("nan")),
    "ace_moleculeace25": ("rmse", 0.694, float("nan")),
}
CHEMPROP = {
    "tdc_caco2_wang": ("mae", 0.372, 0.026),
    "tdc_clearance_microsome_az": ("spearman", 0.513, 0.044),
    "tdc_half_life_obach": ("spearman", 0.275, 0.026),
    "tdc_vdss_lombardo": ("spearman", 0.476, 0.084),
    "tdc_lipophilicity_astrazeneca": ("mae", 0.462, 0.011),
    "tdc_ppbr_az": ("mae", 8.106, 0.184),
    "tdc_bbb_martins": ("auroc", 0.864, 0.032),
    "tdc_pgp_broccatelli": ("auroc", 0.887, 0.015),
    "tdc_herg": ("auroc", 0.697, 0.012),
    "tdc_dili": ("auroc", 0.906, 0.010),
    "tdc_cyp2c9_substrate_carbonmangels": ("auprc", 0.412, 0.019),
    "tdc_cyp2d6_substrate_carbonmangels": ("auprc", 0.655, 0.039),
    "tdc_cyp3a4_substrate_carbonmangels": ("auroc", 0.566, 0.032),
    "adme_fang_HLM": ("mae", 0.373, 0.014),
    "adme_fang_Sol": ("mae", 0.405, 0.014),
    "ace_moleculeace25": ("rmse", 0.826, float("nan")),
}
