"""The agent's version, as it reports it in status."""

VERSION = "0.1.0"
