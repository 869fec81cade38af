"""Simulated plates of JUMP-CP's layout and size, and what an oracle can retrieve from simulated profiles."""

from .jump_like import make_jump_like
from .oracle import jump_like_retrieval, planted_effects, planted_retrieval, planted_states

__all__ = ["jump_like_retrieval", "make_jump_like", "planted_effects", "planted_retrieval", "planted_states"]
