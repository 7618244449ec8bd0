"""Admission: mounts the cached copy in pods, and validates the four kinds."""
