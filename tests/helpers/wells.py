"""Wells of two sources, with all that pairs can hold."""

import numpy as np
import pandas as pd


def labelled(n=12, seed=0):
    """Wells of two sources with all that pairs can hold."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=[f"Cells_{c}" for c in "abcd"])
    frame["Metadata_Source"] = np.where(np.arange(n) % 3 == 0, "s2", "s1")
    frame["Metadata_Batch"] = "b1"
    frame["Metadata_Plate"] = [f"P{i % 4}" for i in range(n)]
    frame["Metadata_Well"] = [f"A{i:02d}" for i in range(n)]
    molecules = ["CCO", "CCN", "Cc1ccccc1", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "OCCc1ccccc1"]
    return [molecules[i % 6] for i in range(n)], frame, np.arange(1, n + 1.0), np.arange(n) % 5
