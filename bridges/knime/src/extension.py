"""The module KNIME loads: importing the nodes registers them."""

from care_nodes import evaluate, model, restore, zoo

__all__ = ["evaluate", "model", "restore", "zoo"]
