"""Descriptions in YAML, read into frozen dataclasses; knows no image."""
