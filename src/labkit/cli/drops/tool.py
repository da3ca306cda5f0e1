"""The tool that the commands of `labkit drops` register themselves with."""

from __future__ import annotations

from labkit.cli.frame import Tool

__all__ = ["COMMANDS", "drops"]

_PACKAGE = "labkit.cli.drops"

COMMANDS = {
    "need": (f"{_PACKAGE}.need", "Find how many tries the drops take, for a confidence."),
    "chance": (f"{_PACKAGE}.chance", "Say how likely a number of drops is after some tries."),
    "luck": (f"{_PACKAGE}.luck", "Say how many players are luckier and how many are drier."),
    "roll": (f"{_PACKAGE}.roll", "Say how likely a roll with luck is, or how much luck it takes."),
    "table": (f"{_PACKAGE}.table", "Show the chance of each item of a loot table."),
    "set": (f"{_PACKAGE}.set", "Find the chance of a complete set and the tries it takes."),
    "pity": (f"{_PACKAGE}.pity", "Work out gacha pulls with pity, from where you stand."),
    "plan": (f"{_PACKAGE}.plan", "Find the chance that a budget carries you through banners."),
    "rate": (f"{_PACKAGE}.rate", "Estimate a rate from what dropped, and judge an advertised one."),
    "prd": (
        f"{_PACKAGE}.prd",
        "Work out the pseudo-random distribution of Dota 2 and the like.",
    ),
}
"""Name -> the module that registers the command, and its line of help."""

drops = Tool(
    "drops",
    "How likely is that drop, and how many tries does it take.",
    default="need",
    # What begins like a rate, or with a sign such as one half.
    default_when=r"[\d.\u00bc-\u00be\u2150-\u215e]",
    table=COMMANDS,
)
