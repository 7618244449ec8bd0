"""Kubernetes objects as frozen typed values."""
