"""Parsers: the outputs of the tools, read into frozen dataclasses."""
