"""Training data: pairs found in folders, computed from clean images, or simulated. NumPy and SciPy only, seeded."""
