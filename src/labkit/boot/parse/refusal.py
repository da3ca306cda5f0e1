"""The one refusal that all parsers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["bad_json", "not_a"]


def not_a(document: Document, what: str) -> InputError:
    """Make the error for an input that is not what it should be."""
    return InputError(
        f"{document.name} does not hold {what}",
        hint="give the whole output of the tool, with its header lines",
        code="wrong-input",
    )


def bad_json(document: Document, error: Exception) -> InputError:
    """Make the error for JSON that is cut or none."""
    return InputError(f"{document.name} is cut or is no JSON: {error}", code="bad-json")
