"""Content-aware restoration of fluorescence microscopy."""

__version__ = "0.1.0"
