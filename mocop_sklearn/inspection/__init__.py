"""Whether a prediction can be trusted, and what it rests on."""

from ._domain import ApplicabilityDomain

__all__ = ["ApplicabilityDomain"]
