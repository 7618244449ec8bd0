"""A cluster in one process: API server, nodes, S3 and faults, on virtual or real time."""
