"""Whether a prediction can be trusted, and what it rests on."""

from ._domain import ApplicabilityDomain
from ._report import Report, report

__all__ = ["ApplicabilityDomain", "Report", "report"]
