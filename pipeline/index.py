"""What an index says.

Reads and writes nothing. Does: sums up the receipts of a recipe's tasks with what the recipe, the
corpus and the plan are; build.py seals it as index.json.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline import schema, tracks
from pipeline.corpus import Corpus
from pipeline.disk import store
from pipeline.dsp import statistics
from pipeline.formats import tfrecord
from pipeline.layouts.splits import SPLITS
from pipeline.plan import Plan

SCHEMA = 1
Receipts = Sequence[dict[str, Any]]


def index(
    plan: Plan,
    corpus: Corpus,
    fingerprint: str,
    receipts: Receipts,
    noise: Receipts,
) -> dict[str, Any]:
    """The table."""
    recipe = plan.recipe
    described = schema.fields(recipe, max(len(plan.tags), 1))
    noise_fields = tracks.fields(tracks.samples(recipe)) if recipe.mix else []
    skipped = Counter(plan.skipped)
    per_split = dict.fromkeys(SPLITS, 0)
    for receipt in receipts:
        skipped.update(receipt["skipped"])
        per_split[receipt["split"]] += receipt["examples"]
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "key": store.digest([recipe.name, [r["key"] for r in (*receipts, *noise)]]),
        "fingerprint": fingerprint,
        "recipe": recipe.resolved(),
        "fields": [f.to_json() for f in described],
        "classes": list(plan.classes),
        "tags": list(plan.tags),
        "noises": list(recipe.mix.noises) if recipe.mix else [],
        "names": schema.names(recipe),
        "statistics": statistics.joined(receipts),
        "shards": [f for receipt in receipts for f in receipt["files"]],
        "noise": [f for receipt in noise for f in receipt["files"]],
        "receipts": [r["receipt"] for r in (*receipts, *noise)],
        "noise_fields": [f.to_json() for f in noise_fields],
        "feature_description": tfrecord.feature_description(described),
        "counts": {
            "found": len(corpus.records),
            "used": sum(plan.used.values()),
            "rejected": dict(sorted(corpus.rejected().items())),
            "files": {split: plan.used[split] for split in SPLITS},
            "examples": per_split,
            "generated": plan.generated,
            "skipped": dict(sorted(skipped.items())),
        },
    }
