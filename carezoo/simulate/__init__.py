"""Computed pairs: structures, optics and a camera; clean images degraded."""
