"""The library's front door: read inputs, join them, judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.join import join
from labkit.boot.judge import diagnose_facts

if TYPE_CHECKING:
    from labkit.boot.bundle import Bundle
    from labkit.boot.judge import Diagnosis

__all__ = ["diagnose"]


def diagnose(bundle: Bundle) -> Diagnosis:
    """Say what is wrong with the boot chain of the computer that `bundle` comes from.

    Inputs that cannot be read as what they are do not stop it: they are named in
    `Diagnosis.facts.unread`, and rules that need them are silent.
    """
    return diagnose_facts(join(bundle))
