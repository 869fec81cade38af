"""Warnings that callers tell apart by their class."""


class TrainingInterrupted(RuntimeWarning):
    """Training ended early, and the weights so far are kept."""
