"""Whether a package does what it says."""
