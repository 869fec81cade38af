"""Training: batches, the loop, contrastive and supervised objectives, and inference."""

__all__: list[str] = []
