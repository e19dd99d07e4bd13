"""Laplace distributions, their mixtures, and calibrated levels."""
