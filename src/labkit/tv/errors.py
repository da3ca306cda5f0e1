"""The errors of `labkit tv` that concern files on this computer."""

from __future__ import annotations

from labkit.errors import InputError

__all__ = ["ApkError", "BundleError", "not_an_apk"]


class ApkError(InputError):
    """A file that is no APK, or a broken one."""

    code = "bad-apk"


class BundleError(InputError):
    """A set of APKs that does not make one installable app."""

    code = "bad-bundle"


def not_an_apk(name: str, reason: str) -> ApkError:
    """Make the error for a file `name` that is something else than an APK."""
    return ApkError(
        f"{name} is not an APK: {reason}",
        hint="download it again from its maker, by a link that leads to the file itself",
        code="not-an-apk",
    )
