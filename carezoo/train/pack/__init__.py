"""From a trained network to a package."""
