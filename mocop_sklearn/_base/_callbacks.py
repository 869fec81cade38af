"""What callbacks of scikit-learn (1.9 and later) hear of a fit: its networks, if it has several, and their epochs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from ..utils._sklearn import CallbackSupportMixin, with_callbacks

_Fit = TypeVar("_Fit", bound=Callable[..., Any])
Attributes = Callable[[], dict[str, Any]]


class NetworkTask:
    """The epochs of one network.

    Parameters
    ----------
    context : CallbackContext or None
        Its children are the epochs; without one, nobody hears of them.
    **heard
        What callbacks may ask for: ``estimator``, ``X``, ``y`` and ``metadata``.
    """

    def __init__(self, context: Any = None, **heard: Any):
        self._context, self._heard = context, heard
        self._epoch: Any = None

    def begin(self) -> None:
        """Begin an epoch."""
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._heard)

    def end(self, attributes: Attributes) -> bool:
        """End an epoch; return whether a callback asks to stop.

        Parameters
        ----------
        attributes : callable
            Returns the attributes of the estimator as if it had been fitted until now. It is only called for callbacks
            that ask for a fitted estimator.
        """
        if self._epoch is None:
            return False
        return bool(self._epoch.call_on_fit_task_end(**self._heard, reconstruction_attributes=attributes))


class FitTasks:
    """A fit as callbacks see it; without callbacks, or with scikit-learn before 1.9, nothing happens."""

    def __init__(self, estimator: Any, arguments: dict[str, Any]):
        y = arguments.get("profiles")
        metadata = {name: value for name in ("sample_weight",) if (value := arguments.get(name)) is not None}
        self._heard = {
            "estimator": estimator,
            "X": arguments.get("X"),
            "y": arguments.get("y") if y is None else y,
            "metadata": metadata or None,
        }
        n_networks, n_epochs = estimator.n_estimators, estimator.max_epochs
        self._several = n_networks > 1
        self._n_epochs = n_epochs if isinstance(n_epochs, int) else None  # "auto" is not known yet
        self._context = None
        if getattr(estimator, "_skl_callbacks", None):
            self._context = estimator._init_callback_context(
                max_subtasks=n_networks if self._several else self._n_epochs
            )
            self._context.call_on_fit_task_begin(**self._heard)

    @contextmanager
    def network(self, number: int) -> Iterator[NetworkTask]:
        """Yield the task of a network."""
        if self._context is None or not self._several:
            yield NetworkTask(self._context, **self._heard)
            return
        own = self._context.subcontext(task_name=f"network {number}", max_subtasks=self._n_epochs)
        own.call_on_fit_task_begin(**self._heard)
        yield NetworkTask(own, **self._heard)
        own.call_on_fit_task_end(**self._heard)

    def end(self) -> None:
        """End the fit, whose attributes are set."""
        if self._context is not None:
            estimator = self._heard["estimator"]
            self._context.call_on_fit_task_end(**self._heard, reconstruction_attributes=lambda: vars(estimator))


class HearsCallbacks(CallbackSupportMixin):
    """Mixin of estimators whose ``fit`` is ``heard``."""

    _tasks: FitTasks


def heard(fit: _Fit) -> _Fit:
    """Decorate ``fit`` of an estimator so that callbacks hear of it; its parameters have to be checked by then."""
    signature = inspect.signature(fit)

    @with_callbacks
    @functools.wraps(fit)
    def with_tasks(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._validate_params()
        self._tasks = FitTasks(self, dict(signature.bind(self, *args, **kwargs).arguments))
        try:
            fitted = fit(self, *args, **kwargs)
            self._tasks.end()
        finally:
            del self._tasks
        return fitted

    return cast(_Fit, with_tasks)


@contextmanager
def handed_on(estimator: Any, inner: Any, X: Any, y: Any) -> Iterator[None]:
    """Hand the callbacks of an estimator on to the one that it fits within the block."""
    if not hasattr(estimator, "_init_callback_context"):
        yield
        return
    context = estimator._init_callback_context(max_subtasks=1)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    own = context.subcontext(task_name="fit of the valid rows")
    own.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    with own.propagate_callback_context(inner):
        yield
    own.call_on_fit_task_end(estimator=estimator, X=X, y=y)
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y)
