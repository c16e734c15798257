"""A labelled recipe, run and judged."""

from pathlib import Path
from typing import Any

import pytest

from gradlab.analysis.results import Diagnosis
from gradlab.analysis.verdicts import diagnose
from gradlab.store.read import open_run
from tests.recipes import launch, recipe
from tests.verdicts.cases import Case


def labelled(cases: list[Case]) -> Any:
    """A test of each case; those marked slow are not in the default tests."""
    marked = [pytest.param(case, marks=pytest.mark.slow if case.slow else (), id=str(case)) for case in cases]
    return pytest.mark.parametrize("case", marked)


def faults(case: Case, outputs: Path) -> list[str]:
    """What the verdicts on the case's run say that is not true."""
    return wrong(case, diagnose(open_run(launch(recipe(*case.words, f"outputs={outputs}")).folder)))


def wrong(case: Case, found: Diagnosis) -> list[str]:
    """What the verdicts say that is not true."""
    parts = {
        "start": (case.start, found.signal_start),
        "end": (case.end, found.signal_end),
        "training": (case.training, found.training),
    }
    faults = [
        f"{part}: {verdict.words}, true is {sorted(truth)} ({case.because}): {verdict.sentence}"
        for part, (truth, verdict) in parts.items()
        if truth is not None and set(verdict.words) != truth
    ]
    causes = {finding.word for finding in found.findings if finding.about == "cause"}
    faults += [f"no cause '{cause}' among {causes}" for cause in case.causes - causes]
    if case.over_time and (time := found.times_start[-1]).verdict != case.over_time:
        faults.append(
            f"over time: {time.verdict}, true is {case.over_time} ({case.because}): {time.sentence}"
        )
    if case.layer is not None:
        first, last = case.layer
        named = [defect.layer for defect in found.signal_start.defects]
        if not named or not all(first <= layer <= last for layer in named):
            faults.append(f"layers {named}, true is {first} to {last} ({case.because})")
    return faults
