"""The banners of known games, as far as their rules are public.

Rates and certain pulls are published by the games; where a soft pity begins and how steep it is
comes from recorded pulls of the players. Games change their rules: each preset says what it stands
for and of when it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

from labkit.drops.pity import PityRule
from labkit.drops.rates import parse_rate
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.drops.rates import Exact

__all__ = ["PRESETS", "Preset", "find_preset", "pity_rule"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A banner's rule with what it stands for.

    Attributes:
        name: What the user types.
        game: The game.
        banner: What a hit and what the featured item is.
        rule: The rule.
        source: Where the figures come from.
        as_of: The date of the source, or the game version since which the rule holds.
    """

    name: str
    game: str
    banner: str
    rule: PityRule
    source: str
    as_of: str


_KQM = "published rate and maximum; soft pity from players' records (KQM library, GGanalysis)"
_HALF = Fraction(1, 2)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "genshin",
            "Genshin Impact",
            "character event: the featured 5-star at 50 %, then guaranteed; "
            "without Capturing Radiance, whose rule is not public",
            PityRule(Fraction(6, 1000), 74, Fraction(6, 100), 90, _HALF, guarantee=True),
            _KQM,
            "version 5.0, August 2024",
        ),
        Preset(
            "genshin-weapon",
            "Genshin Impact",
            "weapon event: the charted one of two 5-stars at 37.5 %, then guaranteed "
            "by one fate point; certain at 77, where 80 is the published maximum",
            PityRule(Fraction(7, 1000), 63, Fraction(7, 100), 77, Fraction(3, 8), guarantee=True),
            _KQM,
            "version 5.0, August 2024",
        ),
        Preset(
            "starrail",
            "Honkai: Star Rail",
            "character event: the featured 5-star at 56.25 % as fitted to records "
            "(50 % is published), then guaranteed",
            PityRule(Fraction(6, 1000), 74, Fraction(6, 100), 90, Fraction(9, 16), guarantee=True),
            "published rate and maximum; ramp and share as modelled by GGanalysis",
            "version 1.0, April 2023",
        ),
        Preset(
            "starrail-lightcone",
            "Honkai: Star Rail",
            "light cone event: any 5-star light cone; add --featured and --guarantee for one",
            PityRule(Fraction(8, 1000), 66, Fraction(7, 100), 80),
            "published rate and maximum; ramp as modelled by GGanalysis",
            "version 1.0, April 2023",
        ),
        Preset(
            "arknights",
            "Arknights",
            "standard headhunting: any 6-star; add --featured for one of them",
            PityRule(Fraction(2, 100), 51, Fraction(2, 100), 99),
            "published in full",
            "since release, 2019",
        ),
    )
}
"""Every preset, by name."""


def find_preset(name: str) -> Preset:
    """Return the preset `name`.

    Raises:
        UsageError: There is none of that name.
    """
    if name in PRESETS:
        return PRESETS[name]
    close = get_close_matches(name.lower(), PRESETS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PRESETS)}"
    raise UsageError(f"there is no preset `{name}`", hint=hint, code="no-such-preset")


def pity_rule(
    base: Exact | None = None,
    *,
    preset: str | None = None,
    soft: int | None = None,
    step: Exact | None = None,
    hard: int | None = None,
    featured: Exact | None = None,
    guarantee: bool | None = None,
) -> PityRule:
    """Make a banner's rule from its figures; what is not given is as in the preset, or absent.

    >>> pity_rule("0.6%", soft=74, step="6%", hard=90).consolidated_rate
    0.0160520517855...

    Raises:
        UsageError: A figure makes no sense, there is no such preset, or no base rate.
        LimitError: The pity is too long to compute.
    """
    if base is None and preset is None:
        raise UsageError(
            "a banner needs a base rate",
            hint=f"give --base 0.6%, or --preset with one of {', '.join(PRESETS)}",
        )
    known = find_preset(preset).rule if preset is not None else PityRule(Fraction(1))
    if guarantee and featured is None and known.featured == 1:
        raise UsageError(
            "a guarantee needs a featured item", hint="add the featured share: --featured 50%"
        )
    return PityRule(
        base=known.base if base is None else parse_rate(base, zero=True, name="base rate"),
        soft=known.soft if soft is None else soft,
        step=known.step if step is None else parse_rate(step, name="step"),
        hard=known.hard if hard is None else hard,
        featured=known.featured
        if featured is None
        else parse_rate(featured, name="featured share"),
        guarantee=known.guarantee if guarantee is None else guarantee,
    )
