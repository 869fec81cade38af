"""What the rooms share and no user calls: device, processes, files, cache."""

__all__: list[str] = []
