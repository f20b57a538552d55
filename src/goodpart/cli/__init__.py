"""The goodpart command: thin, one verb per module."""
