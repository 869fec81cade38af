"""What all parts of a build say of features and wells, without their profiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from ..molecules._parse import Standardize
from ..profiles._filter import ProfileFilter
from ..profiles._moments import merged_moments
from ._labels import Labels
from ._matching import Join, Selection, unmatched_molecules
from ._parts import Part
from ._structures import same_skeleton

_EXAMPLES = 5


class Gathered:
    """Facts about features and wells, gathered part by part, so that no profiles are in memory.

    Attributes
    ----------
    files : list of dict
    totals : Counter
        Sums of counts and fates.
    features : list of list of str
        Of each part; equal ones are one list.
    left_out : dict of str to str
        Why other columns of the files are not features.
    sizes : list of int
        Stored wells of each part.
    names : set of str
        Structures as stated.
    unreadable : dict of str to str
        Those of them that no process can read, and why.
    texts : dict of str to list of ndarray of int
        Codes of the wells of each part, for each column of text.
    numbers : dict of str to list of ndarray of float32
    key_of : dict of str to str
        Connectivity key of each canonical SMILES.
    rules : Counter
        How many controls each rule found.
    selections : dict of tuple to Selection
        What ``keep``, ``exclude`` and ``control_label`` were matched with, by option and column.
    joins : dict of int to Join
        What each table of metadata was matched with, by its place.
    held_out : set of str
        Keys of ``hold_out`` that a well has.
    told_apart_by : list of str
        Columns that differ between wells of one name.
    """

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()
        self.features: list[list[str]] = []
        self.left_out: dict[str, str] = {}
        self.sizes: list[int] = []
        self.names: set[str] = set()
        self.unreadable: dict[str, str] = {}
        self.texts: dict[str, list[np.ndarray]] = {}
        self.numbers: dict[str, list[np.ndarray]] = {}
        self.key_of: dict[str, str] = {}
        self.rules: Counter[str] = Counter()
        self.selections: dict[tuple[str, str], Selection] = {}
        self.joins: dict[int, Join] = {}
        self.held_out: set[str] = set()
        self.told_apart_by: list[str] = []
        self._codes: dict[str, dict[str, int]] = {}
        self._place: dict[str, int] = {}
        self._moments = np.zeros((4, 0))  # count, mean, sum of squares, largest size, over the union of features

    def add(self, part: Part) -> None:
        """Take in a part."""
        facts = part.facts
        self.files.append(facts["file"])
        self.totals.update(facts["counts"] | facts["fates"])
        self.names.update(facts["names"])
        self.unreadable.update(facts["unreadable"])
        same = next((own for own in self.features if own == facts["features"]), facts["features"])
        self.features.append(same)
        self.sizes.append(len(part.texts["smiles"].codes))
        self._add_wells(part)
        self._add_moments(same, part.moments)
        self.left_out.update(facts["left_out"])
        self._add_matches(facts)

    def _add_wells(self, part: Part) -> None:
        for name, values in part.numbers.items():
            self.numbers.setdefault(name, []).append(values)
        key = part.texts["key"]
        for name, own in part.texts.items():
            if name == "key":
                continue
            if name == "smiles":
                first = np.unique(own.codes, return_index=True)[1]
                self.key_of.update(zip(own.names.tolist(), key[first].text().tolist(), strict=True))
            codes = self._codes.setdefault(name, {})
            place = np.array([codes.setdefault(text, len(codes)) for text in own.names.tolist()], dtype=np.int32)
            self.texts.setdefault(name, []).append(place[own.codes])

    def _add_matches(self, facts: Mapping[str, Any]) -> None:
        self.rules.update(facts["rules"])
        self.held_out.update(facts["held_out"])
        self.told_apart_by = list(dict.fromkeys([*self.told_apart_by, *facts["told_apart_by"]]))
        for content in facts["selections"]:
            selection = Selection(**content)
            known = self.selections.setdefault((selection.option, selection.column), selection)
            if known is not selection:
                known.add(selection)
        for content in facts["joins"]:
            join = Join(**content)
            known_join = self.joins.setdefault(join.number, join)
            if known_join is not join:
                known_join.add(join)

    def _add_moments(self, features: list[str], moments: np.ndarray) -> None:
        for name in features:
            self._place.setdefault(name, len(self._place))
        self._moments = np.pad(self._moments, ((0, 0), (0, len(self._place) - self._moments.shape[1])))
        own = [self._place[name] for name in features]
        count, mean, variance, peak = moments
        self._moments[:, own] = merged_moments(self._moments[:, own], np.stack([count, mean, count * variance, peak]))

    def labels(self) -> dict[str, Labels]:
        """Return every column of text that all parts have, with its names in order."""
        labels = {}
        for name, parts in self.texts.items():
            if len(parts) == len(self.files):
                names = sorted(self._codes[name])  # an array of str would take the longest one's size for each
                place = np.empty(len(names), dtype=np.int32)
                place[[self._codes[name][text] for text in names]] = np.arange(len(names))
                labels[name] = Labels(place[np.concatenate(parts)], np.array(names, dtype=object))
        return labels

    def common_features(self, columns: str) -> list[str]:
        """Return the features of the store, in the order of the first file."""
        names = list(self._place)
        if columns == "union":
            return names
        for file, features in zip(self.files, self.features, strict=True):
            lacking = set(names).difference(features)
            if lacking and columns == "same":
                raise ValueError(
                    f"{file['name']!r} lacks {len(lacking)} feature columns that another file has: "
                    f"{sorted(lacking)[:10]}. Choose columns with features=, or set columns= to "
                    '"intersection" or "union".'
                )
            names = [name for name in names if name not in lacking]
        if not names:
            raise ValueError("The files have no feature column in common.")
        return names

    def filtered(self, names: list[str], feature_filter: ProfileFilter | None) -> tuple[list[str], dict[str, int]]:
        """Return the features that stay, and how many each rule dropped."""
        if feature_filter is None:
            return names, {}
        n, mean, scatter, peak = self._moments[:, [self._place[name] for name in names]]
        n_rows = sum(self.sizes)
        missing = (n_rows - n) / n_rows  # 1 - n / n_rows is above a limit that it should be equal to
        chosen = clone(feature_filter).fit_statistics(names, missing, mean, scatter / np.maximum(n, 1), peak)
        if not chosen.support_.any():
            raise ValueError("The feature_filter leaves no column.")
        kept = [name for name, support in zip(names, chosen.support_, strict=True) if support]
        return kept, {rule: len(columns) for rule, columns in chosen.report_.items()}

    def check_batches(self) -> None:
        """Refuse a batch that is spread over files: it is whitened on its controls, and those of one file only."""
        batches = list(self._codes.get("batch", ()))
        file_of: dict[int, str] = {}
        for file, codes in zip(self.files, self.texts.get("batch", ()), strict=False):
            for batch in set(codes.tolist()):
                other = file_of.setdefault(batch, file["name"])
                if other != file["name"]:
                    raise ValueError(
                        f"The batch {batches[batch]!r} is spread over {other!r} and {file['name']!r}, and a normalizer "
                        "with whiten needs it in one file: join the plates of a batch, or leave out whiten."
                    )

    def notices(self, hold_out: Mapping[str, str], standardize: Standardize) -> list[str]:
        """What to say about options that match nothing; ``hold_out`` has the key of each text."""
        n = self.totals["wells"]
        absent = [text for text, key in hold_out.items() if key not in self.held_out]
        found = [selection.notice(n) for selection in self.selections.values()]
        found += [join.notice() for join in self.joins.values()]
        found.append(unmatched_molecules(absent, n, same_skeleton(absent, self.key_of, standardize)))
        found.append(self._notice_of_unreadable())
        return [notice for notice in found if notice]

    def _notice_of_unreadable(self) -> str | None:
        """What to say about structures that no process can read."""
        if not self.unreadable:
            return None
        examples = "; ".join(f"{text!r:.60} ({reason})" for text, reason in sorted(self.unreadable.items())[:_EXAMPLES])
        return (
            f"{len(self.unreadable)} structures cannot be read: {examples}. Their wells are left out, counted as "
            "unparsable."
        )
