"""Tasks run in this very process, in order: for tests of a stage that need no workers.

Reads and writes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def run(
    function: Callable[[Any], Any], tasks: Sequence[Any], count: int, recover: Any = None
) -> Iterator[tuple[int, Any]]:
    """Stands in for pipeline.jobs.run."""
    for index, task in enumerate(tasks):
        yield index, function(task)
