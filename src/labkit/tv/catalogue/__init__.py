"""The failure catalogue: every code that adb, a package manager or labkit gives, and what to do.

This is data: one entry per code, in the order in which `labkit tv explain --list` shows them.
Patterns say by which text a failure is known where it has no code; `Detail`s read the sentences
that package managers add to a code. Reading is done in `labkit.tv.failures`.

Codes and numbers: `PackageManager.java` of the Android Open Source Project; the sentences differ
between Android versions, so patterns search and never compare whole texts.
"""

from __future__ import annotations

from labkit.tv.catalogue.adb_failures import CONNECTION, LOCAL
from labkit.tv.catalogue.app_failures import BROKEN, SIGNATURE, WRONG_DEVICE
from labkit.tv.catalogue.entry import CLASS_EXIT_CODES, Detail, Entry, FailureClass
from labkit.tv.catalogue.tv_failures import (
    DATA_LOSS,
    OTHER_APPS,
    PACKAGE_MANAGER,
    POLICY,
    STORAGE,
    UNINSTALL,
)

__all__ = ["CATALOGUE", "CLASS_EXIT_CODES", "DATA_LOSS", "Detail", "Entry", "FailureClass"]

CATALOGUE: tuple[Entry, ...] = (
    *DATA_LOSS,
    *WRONG_DEVICE,
    *BROKEN,
    *SIGNATURE,
    *STORAGE,
    *POLICY,
    *OTHER_APPS,
    *PACKAGE_MANAGER,
    *UNINSTALL,
    *CONNECTION,
    *LOCAL,
)
"""All entries. Where the texts of several occur, the first in this order is meant."""
