"""What a notebook shows of an estimator: scikit-learn's diagram, and what the fitted one has learned."""

from __future__ import annotations

import math
from typing import Any

from sklearn import get_config
from sklearn.utils import estimator_html_repr

from ..utils._html import summary


class FittedSummary:
    """Mixin that puts a short table below scikit-learn's HTML of a fitted estimator."""

    def _summary(self) -> dict[str, str]:
        """Names and texts of what the fitted estimator has learned."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self) -> bool:
        raise NotImplementedError

    def _repr_html_inner(self) -> str:
        text: str = estimator_html_repr(self)
        if not self.__sklearn_is_fitted__():
            return text
        return text + summary(f"Fitted {type(self).__name__}", self._summary())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            bundle["text/html"] = self._repr_html_inner()
        return bundle


def epochs_in_words(n_iter: int, best_score: float, chance: str = "") -> str:
    """Return how long a training took and what it reached."""
    if not n_iter:
        return "not trained"
    return f"{n_iter:,}" + ("" if math.isnan(best_score) else f", best validation score {best_score:.3f}{chance}")


def count_of_weights(weights: dict[str, Any]) -> int:
    """Return how many numbers the weights of a network have."""
    return sum(array.size for array in weights.values())
