"""The protocol of the paper in steps, from plates to a table; ``benchmarks/paper.py`` runs it."""
