"""How likely is that drop, and how many tries does it take: exact answers.

>>> from labkit.drops import tries_needed, chance_at_least
>>> tries_needed("1/15000", confidence="90%")
34538
>>> round(chance_at_least(1, tries=1000, rate="1/5000"), 6)
0.181286

Rates and confidences are read exactly: pass a string (`"1/5000"`, `"0.02%"`), a `Fraction`, an
`int`, a `Decimal`, or a float, which stands for its shortest decimal form. Each name is loaded
from its module on first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.drops.api import (
        chance_at_least,
        chance_at_most,
        chance_curve,
        chance_exactly,
        drops_to_count_on,
        mean_tries,
        sd_tries,
        tries_needed,
    )
    from labkit.drops.chances import Chance
    from labkit.drops.die import Die, new_world_luck
    from labkit.drops.errors import LimitError, NeverError
    from labkit.drops.estimate import (
        clopper_pearson,
        jeffreys,
        judge_claim,
        pity_rate,
        stopped_interval,
        unbiased_stopped,
        wilson,
    )
    from labkit.drops.items import SetItem, coupon_items, expected_distinct, set_items
    from labkit.drops.loot import LootTables, Opening
    from labkit.drops.loot_files import parse_loot, read_loot
    from labkit.drops.luck import Luck, log_luck, luck_of, read_log, stouffer
    from labkit.drops.models import effective_magic_find, with_magic_find, with_rolls
    from labkit.drops.pity import PityLaw, PityRule
    from labkit.drops.plans import PlanOutcome, Stage, StageOutcome, plan_outcome
    from labkit.drops.prd import PseudoRandom, prd_from_constant, prd_from_nominal
    from labkit.drops.presets import PRESETS, Preset, find_preset, pity_rule
    from labkit.drops.quantities import Amount, QuantityQuestion, parse_amount
    from labkit.drops.rates import (
        DropSpec,
        parse_confidence,
        parse_count,
        parse_drop_spec,
        parse_rate,
    )
    from labkit.drops.sets import SetLaw, SetTries, set_law
    from labkit.drops.sources import Mixture, Source, parse_source
    from labkit.drops.tries import MinimumTries, dependable_drops, minimum_tries

_HOMES = {
    "api": (
        "chance_at_least",
        "chance_at_most",
        "chance_curve",
        "chance_exactly",
        "drops_to_count_on",
        "mean_tries",
        "sd_tries",
        "tries_needed",
    ),
    "chances": ("Chance",),
    "die": ("Die", "new_world_luck"),
    "errors": ("LimitError", "NeverError"),
    "estimate": (
        "clopper_pearson",
        "jeffreys",
        "judge_claim",
        "pity_rate",
        "stopped_interval",
        "unbiased_stopped",
        "wilson",
    ),
    "items": ("SetItem", "coupon_items", "expected_distinct", "set_items"),
    "loot": ("LootTables", "Opening"),
    "loot_files": ("parse_loot", "read_loot"),
    "luck": ("Luck", "log_luck", "luck_of", "read_log", "stouffer"),
    "models": ("effective_magic_find", "with_magic_find", "with_rolls"),
    "pity": ("PityLaw", "PityRule"),
    "plans": ("PlanOutcome", "Stage", "StageOutcome", "plan_outcome"),
    "prd": ("PseudoRandom", "prd_from_constant", "prd_from_nominal"),
    "presets": ("PRESETS", "Preset", "find_preset", "pity_rule"),
    "quantities": ("Amount", "QuantityQuestion", "parse_amount"),
    "rates": ("DropSpec", "parse_confidence", "parse_count", "parse_drop_spec", "parse_rate"),
    "sets": ("SetLaw", "SetTries", "set_law"),
    "sources": ("Mixture", "Source", "parse_source"),
    "tries": ("MinimumTries", "dependable_drops", "minimum_tries"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PRESETS",
    "Amount",
    "Chance",
    "Die",
    "DropSpec",
    "LimitError",
    "LootTables",
    "Luck",
    "MinimumTries",
    "Mixture",
    "NeverError",
    "Opening",
    "PityLaw",
    "PityRule",
    "PlanOutcome",
    "Preset",
    "PseudoRandom",
    "QuantityQuestion",
    "SetItem",
    "SetLaw",
    "SetTries",
    "Source",
    "Stage",
    "StageOutcome",
    "chance_at_least",
    "chance_at_most",
    "chance_curve",
    "chance_exactly",
    "clopper_pearson",
    "coupon_items",
    "dependable_drops",
    "drops_to_count_on",
    "effective_magic_find",
    "expected_distinct",
    "find_preset",
    "jeffreys",
    "judge_claim",
    "log_luck",
    "luck_of",
    "mean_tries",
    "minimum_tries",
    "new_world_luck",
    "parse_amount",
    "parse_confidence",
    "parse_count",
    "parse_drop_spec",
    "parse_loot",
    "parse_rate",
    "parse_source",
    "pity_rate",
    "pity_rule",
    "plan_outcome",
    "prd_from_constant",
    "prd_from_nominal",
    "read_log",
    "read_loot",
    "sd_tries",
    "set_items",
    "set_law",
    "stopped_interval",
    "stouffer",
    "tries_needed",
    "unbiased_stopped",
    "wilson",
    "with_magic_find",
    "with_rolls",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
