"""Models by name: where packages are found, without looking inside them."""
