"""What estimators share: parameters, an estimator around a trained model, and one that learns from labels."""

__all__: list[str] = []
