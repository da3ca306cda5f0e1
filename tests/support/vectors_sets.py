"""How the kinds of test vectors about sets, pity, plans and PRD are answered."""

from __future__ import annotations

from fractions import Fraction

from labkit.drops.items import SetItem, coupon_items, expected_distinct, set_items
from labkit.drops.pity import PityLaw, PityRule
from labkit.drops.plans import Stage, plan_outcome
from labkit.drops.prd import prd_from_nominal
from labkit.drops.sets import set_law


def _rule(i):
    return PityRule(
        Fraction(i["base"]),
        i["soft_start"],
        None if i["soft_start"] is None else Fraction(i["soft_step"]),
        i["hard"],
        Fraction(i.get("featured", 1)),
        guarantee=i.get("guarantee_after_loss", False),
    )


def _pity(i):
    rule = _rule(i)
    law = PityLaw(rule)
    return {
        "expected_pulls": law.mean,
        "consolidated_rate": rule.consolidated_rate,
        "std": law.sd,
        "median": law.pulls_for(Fraction(1, 2)),
        "p_by": {str(n): law.within(n).value for n in range(rule.certain_at + 1)},
    }


def _pity_featured(i):
    law = PityLaw(_rule(i), i["copies"], made=i["pity"], guaranteed=i["guaranteed"])
    return {
        "expected_pulls": law.mean,
        "p_within": {str(n): law.within(n).value for n in range(400)},
        "pulls_for": {c: law.pulls_for(Fraction(c)) for c in ("0.5", "0.9", "0.99")},
    }


def _staged_plan(i):
    pity, shares, *guarantee = i["model"].split()
    base, soft, step, hard = pity.split("/")
    featured = Fraction(shares.split("-")[0]) / 100
    rule = PityRule(
        Fraction(base), int(soft), Fraction(step), int(hard), featured, guarantee=bool(guarantee)
    )
    stages = [Stage(stage["copies"], stage["pulls"], rule) for stage in i["stages"]]
    return plan_outcome(stages).chance.value


def _set_answers(law, tries):
    return {
        "prob": law.within(tries).value,
        "expected_tries": law.moments[0],
        "median_tries": law.tries_for(Fraction(1, 2)).tries,
        "tries_95": law.tries_for(Fraction(19, 20)).tries,
    }


def _items(rates):
    return [SetItem(str(number), Fraction(rate)) for number, rate in enumerate(rates)]


def _targets(i):
    items = set_items(
        {name: rate for name, (rate, _) in i["items"].items()},
        need={name: copies for name, (_, copies) in i["items"].items()},
        owned=i.get("owned"),
    )
    return _set_answers(set_law(items, i["table"]), i["n"])


def _protected(i):
    rate = Fraction(i["any_rate"]) / i["pieces"]
    return _set_answers(set_law(_items([rate] * i["pieces"]), "protected"), i["n"])


def _prd(i):
    law = prd_from_nominal(i["nominal"])
    return {
        "C": law.constant,
        "max_tries": law.max_tries,
        "std": law.sd,
        "most_likely": law.most_likely,
    }


ANSWERS = {
    "complete_set": lambda i: _set_answers(set_law(_items(i["items"]), i["table"]), i["n"]),
    "complete_set_dupe_protected": _protected,
    "coupon_expected": lambda i: set_law(coupon_items(i["types"])).moments[0],
    "coupon_prob": lambda i: set_law(coupon_items(i["types"])).within(i["n"]).value,
    "expected_distinct": lambda i: expected_distinct(_items(i["items"]), i["n"]),
    "pity": _pity,
    "pity_featured": _pity_featured,
    "pity_next": lambda i: PityLaw(_rule(i), made=i["pity"]).within(i["next"]).value,
    "prd": _prd,
    "prd_prob": lambda i: prd_from_nominal(i["nominal"]).within(i["n"]).value,
    "staged_plan": _staged_plan,
    "targets": _targets,
}
"""Kind of vector -> function from its inputs to the answer, in the shape of `expected`."""
