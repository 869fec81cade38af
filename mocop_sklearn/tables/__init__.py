"""Tables: how files of molecules and of wells are read and written."""

__all__: list[str] = []
