"""What the QSAR benchmarks share: task sets, features, pretraining corpora, arms, scores and the runner."""
