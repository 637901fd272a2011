"""Encoders: where networks come from, and where they are tapped."""
