"""Networks: what may be handed to the estimators, and what they are made of."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ..molecules._graphs import GraphBatch
    from ._losses import info_nce

__all__ = ["GraphBatch", "info_nce"]
__getattr__, __dir__ = lazy_names(__name__, {"GraphBatch": ".molecules._graphs", "info_nce": "_losses"})
