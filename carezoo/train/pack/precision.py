"""In which number format a network is trained, decided as data so that it can be tested without the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from carezoo.runtime import providers


@dataclass(frozen=True)
class Precision:
    """How the forward and backward pass compute. Weights, loss and optimizer are float32 in any case."""

    dtype: Literal["float32", "bf16"]
    is_channels_last: bool
    """Whether channels are the fastest axis of planes in memory: much faster in bfloat16; in float32 on processors
    slower for wide networks. Of stacks they always are (see `memory_format`)."""
    reason: str
    """Why, in words."""

    @property
    def fabric(self) -> Literal["32-true", "bf16-mixed"]:
        """What Lightning Fabric calls it."""
        return "32-true" if self.dtype == "float32" else "bf16-mixed"


def choose(asked: Literal["auto", "float32", "bf16"], device: str, *, has_bfloat16: bool | None) -> Precision:
    """Decide how to compute; whether a type of device multiplies bfloat16 numbers in hardware may be unknown (None)."""
    is_channels_last = device != "cpu"
    if asked == "float32":
        return Precision("float32", is_channels_last, "asked for")
    if asked == "bf16":
        slow = " (this processor has no arithmetic for it: slower than float32)" if has_bfloat16 is False else ""
        return Precision("bf16", True, "asked for" + slow)
    if has_bfloat16:
        return Precision("bf16", True, f"this {device} is fast at it")
    why = "has no bfloat16 arithmetic" if has_bfloat16 is False else "does not say whether it has bfloat16 arithmetic"
    return Precision("float32", is_channels_last, f"this {device} {why}")


def choose_for_machine(asked: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """Decide for a device of this machine (see `choose`)."""
    if device.type == "cuda":
        # Older cards only emulate bfloat16.
        has_bfloat16: bool | None = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = providers.has_bfloat16() if device.type == "cpu" else None
    return choose(asked, device.type, has_bfloat16=has_bfloat16)


def memory_format(precision: Precision, n_axes: int) -> torch.memory_format:
    """Return torch's name for the order of the axes of a tensor in memory."""
    if n_axes == 5:  # convolutions of stacks take half the time with channels last, even in float32
        return torch.channels_last_3d
    return torch.channels_last if n_axes == 4 and precision.is_channels_last else torch.contiguous_format


def lay_out(network: torch.nn.Module, precision: Precision) -> None:
    """Give every parameter the order of axes that its convolution is fast in: a network may have some of both kinds."""
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous(memory_format=memory_format(precision, parameter.ndim))
