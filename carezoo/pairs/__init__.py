"""Acquired images: files in, checked and matched pairs out."""
