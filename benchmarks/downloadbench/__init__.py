"""What the benchmark of downloads is made of."""
