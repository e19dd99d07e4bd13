"""What a restoration is worth: scores on pairs, calibration, pictures."""
