"""labkit drops beside its peers: how long an answer takes, and whether it is right.

    python benchmarks/drops.py

Each question goes to labkit and to every peer that can be asked it; a peer runs in a process of
its own and is stopped after `LIMIT_S`. The time of an answer is the best of several runs, without
imports. The right answer is labkit's own, which its tests check against exact fractions.
icepool and dyce are the `bench` dependency group.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from labkit.drops import chance_at_least, tries_needed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LIMIT_S = 30
REPEATS = 5


@dataclass(frozen=True)
class Question:
    """Tries for at least `drops` at `rate` with `confidence`, or the chance after `tries`."""

    rate: str
    drops: int
    confidence: str = "0.95"
    tries: int | None = None

    def __str__(self) -> str:
        if self.tries is None:
            return f"tries for {self.drops:,} at {self.rate}, {self.confidence}"
        return f"chance of {self.drops:,}+ in {self.tries:,} at {self.rate}"

    @property
    def exact(self) -> Fraction:
        """The rate as a fraction."""
        return Fraction(self.rate)

    @property
    def p(self) -> float:
        """The rate as the double that most peers work with."""
        return float(self.exact)


Answer = int | float
Peer = Callable[[Question], Answer]

TRIES = [
    Question("0.05", 1),
    Question("1/5000", 1),
    Question("0.1", 1, "0.19"),
    Question("1/352", 1),
    Question("1/15000", 1, "0.9"),
    Question("0.05", 200),
    Question("0.5", 6, "0.5"),
    Question("1e-12", 1),
    Question("1e-6", 10_000, "0.99"),
    Question("1e-12", 1_000_000),
    Question("1/500", 1, "0.999999999999999999"),
]
CHANCES = [
    Question("1/12", 4, tries=40),
    Question("1/5000", 1, tries=1000),
    Question("4e-5", 17, tries=10_000),
    Question("0.5", 10_000_000, tries=20_000_000),
    Question("5e-9", 5, tries=1_000_000_000),
]


def labkit(question: Question) -> Answer:
    """Answer with labkit."""
    if question.tries is None:
        return tries_needed(question.rate, question.drops, question.confidence)
    return chance_at_least(question.drops, tries=question.tries, rate=question.rate)


def post_loop(question: Question) -> Answer:
    """Count tries up from 0 until the lower tail is below alpha, with the post's slack and cap."""
    if question.tries is not None:
        raise NotImplementedError
    import numpy as np
    from scipy.special import comb

    p, alpha = question.p, 1 - float(question.confidence)
    drops = min(question.drops, 1000)
    with np.errstate(invalid="ignore"):  # infinity times zero is one of its faults
        for n in range(10_000):
            terms = (comb(n, j) * math.pow(p, j) * math.pow(1 - p, n - j) for j in range(drops))
            if sum(terms) < alpha - 1e-6:
                return n
    return 9_999


def scipy_stats(question: Question) -> Answer:
    """Ask the negative binomial quantile, or the binomial survival function."""
    from scipy.stats import binom, nbinom

    if question.tries is not None:
        return float(binom.sf(question.drops - 1, question.tries, question.p))
    failures = nbinom.ppf(float(question.confidence), question.drops, question.p)
    return question.drops + int(failures)


def icepool(question: Question) -> Answer:
    """Add up so many coins; there is no inverse."""
    from icepool import coin

    if question.tries is None:
        raise NotImplementedError
    sides = coin(*question.exact.as_integer_ratio())
    return float((question.tries @ sides >= question.drops).probability(True))  # noqa: FBT003 - the outcome asked for


def dyce(question: Question) -> Answer:
    """Add up so many two-sided histograms; there is no inverse."""
    from dyce import H

    if question.tries is None:
        raise NotImplementedError
    hit, sides = question.exact.as_integer_ratio()
    total = question.tries @ H({1: hit, 0: sides - hit})
    wanted = sum(count for outcome, count in total.items() if outcome >= question.drops)
    return float(wanted / total.total)


PEERS: dict[str, Peer] = {
    "the post's loop": post_loop,
    "scipy.stats": scipy_stats,
    "icepool": icepool,
    "dyce": dyce,
}


def measure(answer: Peer, question: Question, sender: Connection) -> None:
    """Answer in this process; send the answer and its best time, or why there is none."""
    try:
        value = answer(question)
    except NotImplementedError:
        sender.send((None, "cannot be asked"))
        return
    except Exception as error:  # noqa: BLE001 - whatever a peer dies of is its result
        sender.send((None, type(error).__name__))
        return
    best = math.inf
    spent = 0.0
    for _ in range(REPEATS):
        start = time.perf_counter()
        answer(question)
        elapsed = time.perf_counter() - start
        best, spent = min(best, elapsed), spent + elapsed
        if spent > 1:
            break
    sender.send((value, best))


def ask(answer: Peer, question: Question) -> tuple[Answer | None, float | str]:
    """Answer in a process of its own, stopped after the limit."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=measure, args=(answer, question, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(LIMIT_S):
            return None, f"over {LIMIT_S} s"
        result: tuple[Answer | None, float | str] = receiver.recv()
    except EOFError:
        return None, "died"
    else:
        return result
    finally:
        process.kill()
        process.join()


def verdict(question: Question, value: Answer, right: Answer) -> str:
    """Say whether an answer is right: exactly for tries, to 1e-11 for chances."""
    if question.tries is None:
        return "right" if value == right else f"WRONG {value}"
    off = abs(value - right) / right
    return "right" if off <= 1e-11 else f"WRONG by {off:.0e}"


def main() -> None:
    """Print a table for the tries and one for the chances."""
    print(f"{'question':<44}{'peer':<17}{'ms':>10}{'x labkit':>10}  answer")
    for question in (*TRIES, *CHANCES):
        right, ours = ask(labkit, question)
        if right is None or isinstance(ours, str):
            raise SystemExit(f"labkit has no answer to {question}: {ours}")
        print(f"{question!s:<44}{'labkit':<17}{ours * 1000:>10.3f}{1:>10}  {right}")
        for name, peer in PEERS.items():
            value, spent = ask(peer, question)
            if value is None or isinstance(spent, str):
                if spent != "cannot be asked":
                    print(f"{'':<44}{name:<17}{'-':>10}{'-':>10}  {spent}")
                continue
            result = verdict(question, value, right)
            print(f"{'':<44}{name:<17}{spent * 1000:>10.3f}{spent / ours:>10.1f}  {result}")


if __name__ == "__main__":
    main()
