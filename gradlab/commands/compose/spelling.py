"""What a person probably meant by a name that does not exist."""

import difflib
from collections.abc import Iterable

SYNONYMS = {
    "learning_rate": "lr",
    "rate": "lr",
    "layers": "depth",
    "hidden": "width",
    "epochs": "steps",
    "bs": "batch_size",
    "optim": "optimizer",
    "scheduler": "schedule",
    "dataset": "data",
    "probes": "probe",
    "regularization": "penalty",
    "weight_decay": "penalty",
    "reg": "penalty",
    "freeze": "lr_factors",
    "early_stopping": "stop.patience",
    "skip": "residual",
    "nonlinearity": "activation",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """The known name nearest to `word`: a synonym, its long or its plain form, or its right spelling."""
    known = sorted(known)
    last = word.rpartition(".")[2]
    if SYNONYMS.get(last) in known:
        return SYNONYMS[last]
    if "." in word and last in known:  # optimizer.lr
        return last
    longer = [name for name in known if len(word) > 2 and name.startswith(word)]  # init, norm, act, batch
    deeper = [name for name in known if name.endswith("." + last)]  # threshold, norm.threshold
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return next(iter([*longer, *close, *deeper]), "")


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says so, or one that lists what there is when that is short."""
    known = sorted(known)
    guess = suggest(word, known)
    if guess:
        return f"; did you mean '{guess}'?"
    return f"; there are: {', '.join(known)}" if len(known) <= 20 else ""
