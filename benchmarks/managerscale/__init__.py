"""What the benchmark of the manager at scale is made of."""
