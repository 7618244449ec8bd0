"""Decides which node holds which model; makes PVs, PVCs, statuses and node labels."""
