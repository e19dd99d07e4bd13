"""Torch and Lightning set environment variables of their own when they are first used: that is not a test's doing."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _torch_in_use() -> None:
    from lightning_fabric import Fabric

    network = torch.nn.Linear(1, 1)
    Fabric(accelerator="cpu", devices=1).setup(network, torch.optim.Adam(network.parameters()))
