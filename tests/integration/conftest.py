"""Fixtures that several files of this folder use."""

from tests.helpers.jump_bucket import bodies, moto, proxy, server

__all__ = ["bodies", "moto", "proxy", "server"]
