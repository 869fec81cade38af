"""What the options of a build were matched with, so that the user hears of those that match nothing."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ._labels import Labels

_MAX_NEAR = 3
_EXAMPLES = 5
_MAX_PIECES = 6  # of a value that was cut at its commas


@dataclass
class Selection:
    """Values of a column that an option names, and how many wells have each.

    Attributes
    ----------
    option : str
        ``keep``, ``exclude`` or ``control_label``.
    column : str
    counts : dict of str to int
        Wells of each value.
    near : dict of str to list of str
        For a value that no well has, values that differ from it in notation only.
    examples : list of str
        Some values of the column.
    """

    option: str
    column: str
    counts: dict[str, int]
    near: dict[str, list[str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, option: str, column: str, values: Sequence[str], texts: Labels) -> Selection:
        """Count the wells of each value among the texts of a column."""
        held = texts.counts()
        counts = {value: held.get(value, 0) for value in values}
        near = {value: near_misses(value, held) for value, found in counts.items() if not found}
        for value, whole in _cut_at_commas(values, held):
            near[value] = [whole, *near[value]][:_MAX_NEAR]
        return cls(option, column, counts, near, list(islice(filter(None, held), _EXAMPLES)))

    def add(self, other: Selection) -> None:
        """Take in the same selection of another file."""
        for value, n in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + n
        for value, near in other.near.items():
            self.near[value] = list(dict.fromkeys(self.near.get(value, []) + near))[:_MAX_NEAR]
        self.examples = list(dict.fromkeys(self.examples + other.examples))[:_EXAMPLES]

    def notice(self, n_wells: int) -> str | None:
        """What to say about values that match no well; None when there are none."""
        unmatched = [value for value, n in self.counts.items() if not n]
        if not unmatched:
            return None
        parts = [repr(value) + _did_you_mean(self.near.get(value, ())) for value in unmatched[:10]]
        more = f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else ""
        has_comma = any("," in text for value in unmatched for text in self.near.get(value, ()))
        hint = " On the command line, put a value with a comma in double quotation marks." * has_comma
        return (
            f"{self.option}: {len(unmatched)} of {len(self.counts)} values match none of the {n_wells} wells in the "
            f"column {self.column!r}: {', '.join(parts)}{more}. The column holds values such as "
            f"{', '.join(map(repr, self.examples)) or 'nothing'}.{hint}"
        )


@dataclass
class Join:
    """How many wells were found in a table of metadata.

    Attributes
    ----------
    number : int
        Place of the table among those given.
    table : str
        Name of its file.
    on : list of str
        The columns that it shares with the wells.
    wells, found : int
    example : str
        The values in these columns of a well that was not found, only where no well was.
    near : list of str
        Values in the table that differ from the example in notation only.
    """

    number: int
    table: str
    on: list[str]
    wells: int
    found: int
    example: str = ""
    near: list[str] = field(default_factory=list)

    def add(self, other: Join) -> None:
        """Take in the join with another file."""
        self.wells += other.wells
        self.found += other.found
        self.example = self.example or other.example
        self.near = list(dict.fromkeys(self.near + other.near))[:_MAX_NEAR]

    def notice(self) -> str | None:
        """What to say when the table matches no well."""
        if self.found:
            return None
        return (
            f"metadata: the table {self.table!r} has a row for none of the {self.wells} wells. They are joined on "
            f"{self.on}; a well has {self.example!r}{_did_you_mean(self.near)}."
        )


def unmatched_molecules(texts: Sequence[str], n_wells: int, near: Mapping[str, Sequence[str]]) -> str | None:
    """What to say about molecules to hold out that are in no well; None when there are none.

    Parameters
    ----------
    texts : sequence of str
    n_wells : int
    near : dict of str to sequence of str
        Tautomers of ``texts`` that are in wells.
    """
    if not texts:
        return None
    # those that the user can do something about come first
    texts = sorted(texts, key=lambda text: not near.get(text))
    more = f" and {len(texts) - 10} more" if len(texts) > 10 else ""
    return (
        f"hold_out: {len(texts)} molecules are in none of the {n_wells} wells: "
        f"{', '.join(repr(text) + _did_you_mean(near.get(text, ())[:_MAX_NEAR]) for text in texts[:10])}{more}."
    )


def _cut_at_commas(values: Sequence[str], held: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield values that are a piece of one that some well has, cut at its commas, and the whole."""
    for first in range(len(values)):
        for end in range(first + 2, min(len(values), first + _MAX_PIECES) + 1):
            for whole in (",".join(values[first:end]), ", ".join(value.strip() for value in values[first:end])):
                if whole in held:
                    yield from ((value, whole) for value in values[first:end] if value not in held)
                    break


def near_misses(value: str, candidates: Iterable[str]) -> list[str]:
    """Return candidates that differ from a value in case, spaces, separators or zeros without a value only."""
    wanted = _normal_form(value)
    return list(islice((c for c in candidates if c != value and _normal_form(c) == wanted), _MAX_NEAR))


def _normal_form(text: str) -> str:
    plain = re.sub(r"[\s_'\"-]+", "", text.casefold())
    plain = re.sub(r"(?<=\d)\.0+(?![\d.])", "", plain)  # 1.0 is 1
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", plain)


def _did_you_mean(near: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
