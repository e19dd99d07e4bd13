"""The report of an evaluation: one page and its files."""
