"""Measure every figure the project promises: ``python -m benchmarks [NAME ...] [--save]``."""
