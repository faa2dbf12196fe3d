"""What the gate makes of made-up nights, over the true effect and the number of searches: the table of evaluation.md.

Prints a line per number of searches and effect: the shares of 200 nights that pass, stay open and fail.
"""

from __future__ import annotations

from models.gates import FAIL, INCONCLUSIVE, PASS
from tests.models.test_gate_simulated import outcomes

NIGHTS = 200


def test_the_gate_rarely_errs_and_finds_what_is_large_enough() -> None:
    found = {}
    for searches in (1000, 3000, 10_000):
        for effect in (-0.1, -0.05, 0.0, 0.02, 0.05, 0.1):
            counts = outcomes(searches, effect, NIGHTS)
            found[searches, effect] = {outcome: counts[outcome] / NIGHTS for outcome in (PASS, INCONCLUSIVE, FAIL)}
            shares = " | ".join(f"{share:.0%}" for share in found[searches, effect].values())
            print(f"| {searches:,} | {100 * effect:+.0f} | {shares} |", flush=True)
    for (searches, effect), share in found.items():
        assert share[FAIL] <= 0.08 or effect < 0
        assert share[PASS] <= 0.05 or effect > 0
        assert share[PASS] >= 0.8 or effect < 0.1 or searches < 3000
