"""Warnings that callers tell apart by their class."""


class TrainingInterrupted(RuntimeWarning):
    """Training ended before its time, and the weights so far are kept."""
