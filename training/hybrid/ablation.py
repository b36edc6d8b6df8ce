"""What each part of a hybrid is worth: its variants side by side, as a table.

Reads and writes nothing: it is given a summary. Does: lines up raw sound alone, features alone,
both, both with mixed examples, and several views, over all and fold by fold.
"""

from training.classes.summary import Summary
from training.hybrid.profiles import VARIANTS
from training.hybrid.views import VIEWS
from training.tables import bounds, columns, number

WORDS = {"raw": "raw only", "features": "features only", "unmixed": "fused", "": "fused, mixed"}


def end(variant: str) -> str:
    """What is added to a run's name for one of its variants."""
    return f"-{variant}" if variant else ""


def viewed(count: int) -> str:
    """What is added to a run's name for so many views."""
    return f", {count} views"


def ablation(told: Summary) -> str:
    """The rows that were measured, and whether both branches together do what either does; nothing
    where a variant was measured by itself."""
    ours, systems = told["ours"], told["systems"]
    names = {WORDS[variant]: f"{ours}{end(variant)}" for variant in VARIANTS}
    names |= {f"fused, mixed{viewed(n)}": f"{ours}{viewed(n)}" for n in VIEWS}
    if len(systems.keys() & set(names.values())) < 2:
        return ""
    folds = systems[ours]["folds"]
    head = ["", "accuracy", "95 %", "macro-F1", "95 %"]
    rows = [head + ([f"fold {i + 1}" for i in range(told["folds"])] if folds else [])]
    for words, name in names.items():
        if name not in systems:
            rows.append([words, *"-" * (len(rows[0]) - 1)])
            continue
        one, row = systems[name], [words]
        for measure in ("accuracy", "macro_f1"):
            found = {k: v and 100 * v for k, v in one[measure].items()}
            row += [number(found["mean"], 1), bounds(found, 1)]
        row += [number(100 * v, 1) for v in one["folds"]["accuracy"]["each"]] if folds else []
        rows.append(row)
    title = "What each part is worth, %"
    title += "; accuracy of each fold" if folds else ""
    return "\n\n".join([title, columns(rows), *_claims(told)])


def _claims(told: Summary) -> list[str]:
    ours, systems = told["ours"], told["systems"]
    held = {variant: systems.get(f"{ours}{end(variant)}") for variant in VARIANTS}
    if not all(held.values()):
        return ["-: not trained (ABLATION=no)"]
    if not told["folds"]:
        return []
    each = {variant: one["folds"]["accuracy"]["each"] for variant, one in held.items() if one}
    return [
        f"{WORDS[variant]} is at least as good as each branch alone in "
        f"{_at_least(each[variant], each['raw'], each['features'])} of {told['folds']} folds"
        for variant in ("unmixed", "")
    ]


def _at_least(found: list[float], *others: list[float]) -> int:
    return sum(own >= max(rest) for own, *rest in zip(found, *others, strict=True))
