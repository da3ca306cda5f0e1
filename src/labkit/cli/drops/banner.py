"""The options that describe a gacha banner, shared by the commands about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from labkit.drops.pity import PityRule

__all__ = [
    "At",
    "Base",
    "Featured",
    "Guarantee",
    "Guaranteed",
    "Hard",
    "PresetName",
    "Soft",
    "Step",
    "describe",
    "rule_fields",
]

PresetName = Annotated[
    # The names of labkit.drops.presets.PRESETS, which is imported when a command runs.
    Literal["genshin", "genshin-weapon", "starrail", "starrail-lightcone", "arknights"] | None,
    typer.Option("--preset", help="The banner of a game; other options override its figures."),
]
Base = Annotated[
    str | None, typer.Option("--base", metavar="RATE", help="Chance of a hit before any pity.")
]
Soft = Annotated[
    int | None,
    typer.Option("--soft", metavar="PULL", help="First pull since a hit with a raised chance."),
]
Step = Annotated[
    str | None, typer.Option("--step", metavar="RATE", help="Rise per pull from --soft on.")
]
Hard = Annotated[
    int | None, typer.Option("--hard", metavar="PULL", help="Pull since a hit that is certain.")
]
Featured = Annotated[
    str | None,
    typer.Option("--featured", metavar="SHARE", help="Chance that a hit is the featured item."),
]
Guarantee = Annotated[
    bool | None,
    typer.Option(
        "--guarantee/--no-guarantee", help="The hit after a lost one is the featured item."
    ),
]
At = Annotated[
    int, typer.Option("--at", metavar="N", help="Pulls you have made since your last hit.")
]
Guaranteed = Annotated[
    bool, typer.Option("--guaranteed", help="Your next hit is the featured item for sure.")
]


def rule_fields(rule: PityRule) -> dict[str, object]:
    """Return a banner's rule as fields of a JSON document."""
    return {
        "base": str(rule.base),
        "soft": rule.soft,
        "step": None if rule.step is None else str(rule.step),
        "hard": rule.hard,
        "featured": str(rule.featured),
        "guarantee": rule.guarantee,
    }


def describe(rule: PityRule) -> str:
    """Say a banner's rule in one line."""
    from labkit.drops.rates import percent

    parts = [percent(rule.base)]
    if rule.soft is not None and rule.step is not None:
        parts.append(f"rising by {percent(rule.step)} a pull from pull {rule.soft} on")
    if rule.hard is not None:
        parts.append(f"certain at pull {rule.hard}")
    if rule.featured < 1:
        after = ", then guaranteed" if rule.guarantee else ", never guaranteed"
        parts.append(f"featured {percent(rule.featured)}{after}")
    return "; ".join(parts)
