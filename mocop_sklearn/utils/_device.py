"""The device and the precision of a network."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import torch

from ._distributed import process_group

_DEVICES = '"auto", "cpu", "cuda", "cuda:<index>" or "mps"'


def _use_one_thread() -> None:
    """Let a forked process use one thread: the threads that torch started in its parent do not exist in it."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    # OpenMP of GCC would wait for ever for the threads that the fork did not copy.
    os.register_at_fork(after_in_child=_use_one_thread)


def resolve_device(device: str | torch.device) -> torch.device:
    """``"auto"`` is the GPU when there is one, and in a process group the one of this process, else the CPU.

    Without an NVIDIA GPU, it is Apple's (``"mps"``) when there is one. Processes of a group do not share that one.

    Raises
    ------
    ValueError
        When the device is unknown or not available on this machine.
    """
    if device == "auto":
        return torch.device(_fastest())
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be {_DEVICES}, got {device!r}.") from error
    if resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device must be {_DEVICES}, got {device!r}.")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(
            f'device={device!r} asks for Apple\'s GPU, but torch sees none here. Use device="auto" or device="cpu".'
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} asks for a GPU, but torch sees {torch.cuda.device_count()} here. "
            'Use device="auto" or device="cpu".'
        )
    return resolved


def _fastest() -> str:
    """Return the device that ``"auto"`` stands for."""
    in_group = process_group()[1] > 1
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if in_group else "cuda"
    return "mps" if torch.backends.mps.is_available() and not in_group else "cpu"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The autocast context of ``precision``: ``"auto"`` is bfloat16 on an NVIDIA GPU that has it, else float32."""
    bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
