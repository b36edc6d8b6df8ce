"""Memory of arrays that is used again, and never while somebody holds it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from training.data.spare import Spare

FLOAT = np.dtype(np.float32)
HOLDS: list[Callable[[np.ndarray], Any]] = [
    lambda array: array,
    lambda array: array[2:, 0],
    lambda array: array.data,
    lambda array: array.reshape(-1).view(np.uint8),
    np.asarray,
    lambda array: pytest.importorskip("torch").from_numpy(array),
    lambda array: pytest.importorskip("torch").from_numpy(array).view(-1)[3:],
]


def test_let_go_it_is_taken_again() -> None:
    spare = Spare(4)
    address = spare.take((5, 3), FLOAT).ctypes.data
    assert [spare.take((5, 3), FLOAT).ctypes.data for _ in range(9)] == [address] * 9


@pytest.mark.parametrize("hold", HOLDS)
def test_held_it_is_left_alone(hold: Callable[[np.ndarray], Any]) -> None:
    spare = Spare(2)
    taken = spare.take((5, 3), FLOAT)
    taken[:] = 7
    held = hold(taken)
    del taken
    for _ in range(9):
        spare.take((5, 3), FLOAT)[:] = 1
    assert np.asarray(held).tobytes()[-4:] == np.float32(7).tobytes()


def test_only_the_like_is_taken() -> None:
    spare = Spare(4)
    assert spare.take((5, 3), FLOAT).shape == (5, 3)
    assert spare.take((4, 3), FLOAT).shape == (4, 3)
    assert spare.take((4, 3), np.dtype(np.int32)).dtype == np.int32


def test_no_more_is_kept_than_asked() -> None:
    spare = Spare(3)
    taken = [spare.take((2,), FLOAT) for _ in range(9)]
    assert len({array.ctypes.data for array in taken}) == 9
    assert len(spare.kept) == 3
