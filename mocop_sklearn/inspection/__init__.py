"""Whether a prediction can be trusted, and what it rests on."""

from ._attributions import atom_attributions
from ._domain import ApplicabilityDomain
from ._drawing import draw_attributions
from ._report import Report, report

__all__ = ["ApplicabilityDomain", "Report", "atom_attributions", "draw_attributions", "report"]
