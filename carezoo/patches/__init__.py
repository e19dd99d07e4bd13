"""What a training draws from acquired and computed pairs."""
