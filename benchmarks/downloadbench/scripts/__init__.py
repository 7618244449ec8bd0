"""What runs as a process of its own: one client each. Only the standard library, and what the client is."""
