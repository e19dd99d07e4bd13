"""From a recipe and images to a package. The only part of carezoo that knows torch."""
