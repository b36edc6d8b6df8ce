"""What the diarizer learns from: sets of speakers, their order, teachers, voices.

Reads and writes nothing. Sums are taken again by hand, in plain loops.
"""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import scipy.special

torch = pytest.importorskip("torch")

from training.diarizer.loss import HEADS, Objective, Orders, regridded, speaking  # noqa: E402
from training.diarizer.powerset import Powerset  # noqa: E402

SETS = Powerset(3, 2)


def talking(*rows: str) -> Any:
    """(1, frames, 3): "AB" is a frame in which the first and the second speak."""
    table = [[float(name in row) for name in "ABC"] for row in rows]
    return torch.tensor([table])


# ---- sets of speakers --------------------------------------------------------------------------


def test_every_set_is_a_class_once() -> None:
    assert SETS.sets == ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    assert (len(Powerset(4, 2)), len(Powerset(3, 3)), len(Powerset(4, 1))) == (11, 8, 5)
    assert SETS.table().sum(1).tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_classes_of_who_speaks_and_back() -> None:
    given = talking("", "A", "B", "C", "AB", "AC", "BC")
    assert SETS.classes(given).tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert torch.equal(SETS.table()[SETS.classes(given)], given)


def test_of_too_many_those_with_the_most_stay() -> None:
    given = torch.tensor([[[0.6, 1.0, 0.8], [1.0, 1.0, 1.0], [0.4, 0.9, 0.5], [0.49, 0.4, 0.3]]])
    assert SETS.classes(given).tolist() == [[6, 4, 6, 0]]


def test_classes_are_renamed_as_speakers_are() -> None:
    table = SETS.table().numpy()
    for order, renamed in zip(SETS.orders().tolist(), SETS.renamed().tolist(), strict=True):
        for old, new in enumerate(renamed):
            moved = np.zeros(3)
            moved[[order[k] for k in np.flatnonzero(table[old])]] = 1
            assert np.array_equal(table[new], moved)
    assert len(SETS.orders()) == 6


# ---- the order that fits best ------------------------------------------------------------------


def by_hand(head: str, answers: np.ndarray, who: np.ndarray, heard: np.ndarray) -> list[float]:
    """The loss of every order of one example."""
    found = []
    for order in permutations(range(3)):
        moved = np.zeros_like(who)
        moved[:, list(order)] = who  # speaker k is called order[k]
        total = 0.0
        for frame in np.flatnonzero(heard):
            if head == "pit-bce":
                p = scipy.special.expit(answers[frame])
                total -= sum(
                    np.log(p if y else 1 - p) for p, y in zip(p, moved[frame], strict=True)
                )
            else:
                members = tuple(np.flatnonzero(moved[frame]))
                logs = scipy.special.log_softmax(answers[frame])
                total -= logs[SETS.sets.index(members)]
        found.append(total / heard.sum())
    return found


@pytest.mark.parametrize("head", HEADS)
def test_each_order_s_loss_is_that_taken_by_hand(head: str) -> None:
    orders = Orders(head, SETS)
    random = np.random.default_rng(0)
    answers = random.standard_normal((2, 5, 3 if head == "pit-bce" else 7))
    who = talking("A", "AB", "", "C", "BC")[0].numpy()
    heard = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], float)
    wanted = orders.wanted(torch.tensor(who)[None].repeat(2, 1, 1))
    given = (torch.tensor(answers), wanted.double(), torch.tensor(heard))
    for example, losses in enumerate(orders.each(*given).T.tolist()):
        assert losses == pytest.approx(by_hand(head, answers[example], who, heard[example]))


class Told(torch.nn.Module):
    """A net that always answers the same."""

    shorter = 10

    def __init__(self, answers: Any, voices: Any = None, known: Any = None) -> None:
        super().__init__()
        self.answers, self.voices, self.known = answers, voices, known

    def forward(self, logmel: Any, count: Any) -> Any:
        voices = torch.zeros(*self.answers.shape[:2], 64) if self.voices is None else self.voices
        return self.answers, voices


def batch_of(who: Any, **more: Any) -> dict[str, Any]:
    fine = who.repeat_interleave(10, 1).to(torch.uint8)
    frames = torch.tensor([fine.shape[1]] * len(fine))
    return {"logmel": torch.zeros(*fine.shape[:2], 4), "activity": fine, "frames": frames, **more}


def sure(who: Any, head: str) -> Any:
    """Answers that leave no doubt."""
    if head == "pit-bce":
        return 40 * who - 20
    return 40 * torch.nn.functional.one_hot(SETS.classes(who), len(SETS)).float()


@pytest.mark.parametrize("head", HEADS)
def test_the_right_answer_is_right_in_every_order_and_only_it(head: str) -> None:
    objective = Objective(head, SETS, known=torch.zeros(0, dtype=torch.long), voice=0)
    who = talking("A", "AB", "", "C", "BC", "B")
    for order in permutations(range(3)):
        loss, _ = objective(Told(sure(who[..., list(order)], head)), batch_of(who))
        assert float(loss) < 1e-3
    wrong = talking("A", "AB", "", "A", "BC", "B")
    assert float(objective(Told(sure(wrong, head)), batch_of(who))[0]) > 1


@pytest.mark.parametrize("head", HEADS)
def test_who_speaks_is_read_back_from_answers(head: str) -> None:
    who = talking("A", "AB", "", "C", "BC", "B")
    assert (speaking(sure(who, head), head, SETS) - who).abs().max() < 1e-6


def test_frames_behind_the_end_are_not_learnt_from() -> None:
    objective = Objective("powerset", SETS, known=torch.zeros(0, dtype=torch.long), voice=0)
    who, wrong = talking("A", "B", "C"), talking("A", "B", "AB")
    short = batch_of(who) | {"frames": torch.tensor([20])}
    assert float(objective(Told(sure(wrong, "powerset")), short)[0]) < 1e-3
    assert float(objective(Told(sure(wrong, "powerset")), batch_of(who))[0]) > 1


# ---- a teacher ---------------------------------------------------------------------------------


def test_a_teacher_s_answers_are_learnt_in_whatever_order() -> None:
    who = talking("A", "AB", "", "C")
    said = sure(who, "powerset") / 20  # in doubt: 2 against 0
    for order in permutations(range(3)):
        moved = speaking(said, "powerset", SETS)[..., list(order)]
        assert moved.shape == who.shape
        teacher = Told(sure(who[..., list(order)], "powerset") / 20)
        objective = Objective("powerset", SETS, known=torch.zeros(0, dtype=torch.long), voice=0,
                              teacher=(teacher, 1.0))  # fmt: skip
        loss, told = objective(Told(said), batch_of(who))
        p = torch.softmax(said, -1)
        entropy = -(p * p.log()).sum(-1).mean()  # the least that any answer can have
        assert float(loss) == pytest.approx(float(entropy), rel=1e-5)
        assert float(told["taught"]) == float(loss)


def test_longer_and_shorter_frames_meet() -> None:
    said = torch.arange(6.0).reshape(1, 6, 1)
    assert regridded(said, 10, 20)[0, :, 0].tolist() == [0.5, 2.5, 4.5]
    assert regridded(said, 10, 15)[0, :, 0].tolist() == pytest.approx(
        [1 / 3, 5 / 3, 10 / 3, 14 / 3]
    )
    assert regridded(said[:, :3], 20, 10)[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2]


# ---- voices ------------------------------------------------------------------------------------


def voiced(alike: bool) -> float:
    """The loss of two voices that are described as they should be, or as each other."""
    known = torch.eye(64)[:3]
    who = talking(*["A"] * 6, *["B"] * 6, *["AB"] * 6)
    voices = torch.zeros(1, 18, 64)
    first, second = (known[2], known[0]) if alike else (known[0], known[2])
    voices[0, :6], voices[0, 6:12], voices[0, 12:] = first, second, known[1]
    objective = Objective("powerset", SETS, known=torch.tensor([-7, 5, 2**60]), voice=1.0)
    batch = batch_of(who, voices=torch.tensor([[-7, 2**60, 0]]))
    return float(objective(Told(sure(who, "powerset"), voices, known), batch)[1]["voice"])


def test_voices_are_told_apart_by_what_they_say_alone() -> None:
    assert voiced(alike=False) < 1e-6
    assert voiced(alike=True) > 10


def test_voices_that_are_not_known_count_for_nothing() -> None:
    known, who = torch.randn(2, 64), talking(*["A"] * 6, *["B"] * 3)
    objective = Objective("powerset", SETS, known=torch.tensor([5, 9]), voice=1.0)
    net = Told(sure(who, "powerset"), torch.randn(1, 9, 64), known)
    for names, counts in (([7, 4, 0], False), ([10, 0, 9], False), ([1, 9, 0], True)):
        batch = batch_of(who, voices=torch.tensor([names]))
        assert (float(objective(net, batch)[1]["voice"]) > 0) == counts
