"""Columns of pyarrow and masked arrays: molecules, labels and profiles, with what is missing in its place."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mocop_sklearn.molecules import check_molecules
from mocop_sklearn.tables._frames import as_frame, index_as_columns
from mocop_sklearn.training._labels import measured_labels
from mocop_sklearn.utils._arrays import as_array, without_mask

TEXTS = ["CCO", None, "CCN"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS).dictionary_encode(),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        pa.table({"smiles": TEXTS}),
        pa.RecordBatch.from_pydict({"smiles": TEXTS}),
        np.ma.array(["CCO", "CCC", "CCN"], mask=[False, True, False]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_columns_of_molecules(column):
    values = check_molecules(column)
    assert values[::2] == ["CCO", "CCN"]
    assert pd.isna(values[1])


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([1.0, None, 0.0]),
        pa.chunked_array([[1], [None, 0]]),
        pa.table({"y": [1.0, None, 0.0]}),
        np.ma.array([1, 1, 0], mask=[False, True, False]),
        np.ma.array([1.0, 7.0, 0.0], mask=[False, True, False]),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_columns_of_labels(labels):
    values, measured = measured_labels(labels, None)
    assert measured.tolist() == [True, False, True]
    assert values[measured].tolist() == [1, 0]


def test_masks_become_missing_values():
    mask = [False, True]
    np.testing.assert_array_equal(without_mask(np.ma.array([1.5, 2.5], mask=mask)), [1.5, np.nan])
    np.testing.assert_array_equal(without_mask(np.ma.array([1, 2], mask=mask)), [1, np.nan])
    assert without_mask(np.ma.array(["a", "b"], mask=mask)).tolist() == ["a", None]
    assert without_mask(np.ma.array([True, False], mask=mask)).tolist() == [True, None]
    assert without_mask(np.ma.array([1, 2])).dtype == int
    assert as_array(np.ma.array(["a", "b"], mask=mask)).tolist() == ["a", None]


def test_an_index_of_arrow_tables_is_columns():
    frame = pd.DataFrame({"Metadata_Well": ["A01", "A02"], "f": [1.0, 2.0]})
    table = pa.Table.from_pandas(frame.set_index("Metadata_Well"))
    pd.testing.assert_frame_equal(as_frame(table), frame)
    assert as_frame(frame) is frame
    with pytest.raises(ValueError, match="index and a column are both named 'f'"):
        index_as_columns(frame.set_index(pd.Index([1, 2], name="f")))
