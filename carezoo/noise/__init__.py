"""What is known of the noise of a detector, and what can be done with it when there is no clean image."""
