"""How the kinds of test vectors about one rate, logs, dice and quantities are answered."""

from __future__ import annotations

import math
from fractions import Fraction

from labkit.drops.api import mean_tries, sd_tries
from labkit.drops.binomial import at_least, at_most, exactly
from labkit.drops.die import NEW_WORLD_DIE, Die, new_world_luck
from labkit.drops.estimate import (
    clopper_pearson,
    jeffreys,
    pity_rate,
    stopped_interval,
    unbiased_stopped,
    wilson,
)
from labkit.drops.luck import luck_of
from labkit.drops.models import effective_magic_find, with_rolls
from labkit.drops.quantities import QuantityQuestion, parse_amount
from labkit.drops.sources import Mixture, Source
from labkit.drops.tries import minimum_tries


def _min_tries(i):
    return minimum_tries(Fraction(i["p"]), i["k"], Fraction(i["confidence"])).tries


def _min_tries_table(i):
    return [_min_tries(i | {"confidence": confidence}) for confidence in i["confidences"]]


def _chance(i):
    events = {"at_least": at_least, "at_most": at_most, "exactly": exactly}
    return events[i["event"]](i["k"], i["n"], Fraction(i["p"]))


def _tries_distribution(i):
    levels = {level: Fraction(level) for level in i["quantiles"]}
    rate = Fraction(i["p"])
    return {
        "mean": mean_tries(rate, i["k"]),
        "std": sd_tries(rate, i["k"]),
        "quantiles": {t: minimum_tries(rate, i["k"], c).tries for t, c in levels.items()},
    }


def _luck(i):
    luck = luck_of(i["drops"], i["n"], Fraction(i["p"]))
    return {
        "p_fewer": luck.fewer.value,
        "p_equal": luck.equal.value,
        "p_more": luck.more.value,
        "midp_percentile": luck.percentile,
    }


def _rolls_per_try(i):
    rate = with_rolls(Fraction(i["p"]), i["rolls"])
    return {"prob": float(rate), "one_in": float(1 / rate)}


def _poisson_binomial(i):
    mixture = Mixture(Source(s["n"], Fraction(s["p"])) for s in i["sources"])
    return {
        "at_least": mixture.at_least(i["k"]).value,
        "exactly": mixture.exactly(i["k"]).value,
        "fewer": mixture.at_most(i["k"] - 1).value,
        "mean": float(mixture.mean),
    }


def _interval(i):
    asked = i["drops"], i["n"], Fraction(i["alpha"])
    methods = {"clopper_pearson": clopper_pearson, "wilson": wilson, "jeffreys": jeffreys}
    return {name: list(method(*asked)) for name, method in methods.items()}


def _interval_stopped(i):
    got, tries = i["drops"], i["tries_until_kth_drop"]
    return {
        "unbiased": float(unbiased_stopped(got, tries)),
        "exact": list(stopped_interval(got, tries, Fraction(i["alpha"]))),
    }


def _pity_rate_estimate(i):
    log = pity_rate(i["gaps"], i["leftover"], i["hard"])
    return {"naive": float(log.naive), "unbiased": float(log.unbiased)}


def _die(i):
    return Die(i.get("max_roll", NEW_WORLD_DIE), int(i.get("roll", "0..M-1") == "1..M"))


def _or_table(i):
    chances = _die(i).highest_line(i["lines"], i["luck"])
    return {k: float(v) for k, v in chances.items()} | {"nothing": float(1 - sum(chances.values()))}


def _nested_or(i):
    die = _die(i)
    return float(
        die.reach(i["gate"], i["luck"]) * die.highest_line(i["then"], i["luck"])[i["item"]]
    )


def _luck_sum(i):
    points = new_world_luck(
        gathering_level=i["gathering_level"],
        food=i["food"],
        tool_percent=Fraction(i["tool_percent"]),
        trophies=i["trophies"],
        other=i["other"],
    )
    return {"total": points, "chance_T5": float(Die().reach(101_800, points))}


def _luck_needed(i):
    die, thresholds = _die(i), [i["threshold"]]
    if "target" in i:
        return die.luck_for_chance(thresholds, Fraction(i["target"]))
    return die.luck_for_confidence(thresholds, i["tries"], Fraction(i["confidence"]))


def _magic_find(i):
    exact = effective_magic_find(i["mf_percent"], i["kind"])
    return {"exact": float(exact), "effective_percent": math.floor(exact)}


def _quantity_at_least(i):
    amount = parse_amount(i["quantity"].removeprefix("uniform "))
    return QuantityQuestion(Fraction(i["p"]), amount, i["total"]).chance(i["n"]).value


ANSWERS = {
    "interval": _interval,
    "interval_stopped": _interval_stopped,
    "log10_prob": lambda i: _chance(i).log10,
    "luck": _luck,
    "luck_needed": _luck_needed,
    "luck_nested": lambda i: float(_die(i).reach_all(i["lines"], i["luck"])),
    "luck_nested_or": _nested_or,
    "luck_or_table": _or_table,
    "luck_roll": lambda i: float(_die(i).reach(i["threshold"], i["luck"])),
    "luck_sum": _luck_sum,
    "magic_find": _magic_find,
    "min_tries": _min_tries,
    "min_tries_table": _min_tries_table,
    "pity_rate_estimate": _pity_rate_estimate,
    "poisson_binomial": _poisson_binomial,
    "prob": lambda i: _chance(i).value,
    "quantity_at_least": _quantity_at_least,
    "rolls_per_try": _rolls_per_try,
    "tries_distribution": _tries_distribution,
}
"""Kind of vector -> function from its inputs to the answer, in the shape of `expected`."""
