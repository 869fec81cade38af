"""Private helpers of all packages: devices, processes, files, cache, random numbers."""

__all__: list[str] = []
