"""Situations that a campaign must have seen: a test that never meets them proves nothing about them."""
