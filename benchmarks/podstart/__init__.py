"""The pods of the benchmark of pod starts."""
