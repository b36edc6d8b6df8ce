"""Rows, summaries and tables of mixtures whose scores are known beforehand.

Reads nothing. Writes: small shards in pytest's folders.
"""

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.disk import store  # noqa: E402
from pipeline.formats import hdf5  # noqa: E402
from pipeline.formats.fields import Field  # noqa: E402
from training import durable  # noqa: E402
from training.data.index import DataError, Index, load_index  # noqa: E402
from training.denoiser import (  # noqa: E402
    dnsmos,
    evaluate,  # noqa: E402
    metrics,
)
from training.denoiser import summary as summaries  # noqa: E402
from training.denoiser.net import make_net  # noqa: E402
from training.denoiser.summary import Row, ahead, by_group, save, summary  # noqa: E402
from training.denoiser.systems import Resampled, at_rate, costs, identity, ours  # noqa: E402
from training.denoiser.table import matrix_table, table  # noqa: E402
from training.errors import RunError  # noqa: E402

torch.set_num_threads(1)
RATE, SAMPLES = 16000, 8000
LEVELS = (0.0, 5.0, 20.0)
DEVIATIONS = (0.005, 0.01, 0.1)
SPEECH, NOISE = 440.0, 1000.0  # Hz; whole periods in a window, so that the two are orthogonal


def sine(frequency: float, samples: int = SAMPLES, rate: int = RATE) -> np.ndarray:
    wave = np.sin(2 * np.pi * frequency * np.arange(samples) / rate)
    return (0.1 * wave).astype(np.float32)


def less_noise(waves: np.ndarray, rate: int) -> np.ndarray:
    """Takes half of what is at NOISE away: 6.02 dB."""
    part = sine(NOISE, waves.shape[1], rate)
    return waves - 0.5 * (waves @ part / (part @ part))[:, None] * part


def make(
    folder: Path, *, mixing: str = "snr", noise: float = NOISE, silent: int = -1, rate: int = RATE
) -> Index:
    """Four windows of two speakers, each in LEVELS of a sine as noise."""
    windows = range(4)
    levels = LEVELS if mixing == "snr" else DEVIATIONS
    clean = np.stack([0.0 * sine(SPEECH) if w == silent else sine(SPEECH) for w in windows])
    rows = [(w, level) for w in windows for level in levels]
    requested = np.array([level for _, level in rows], np.float32)
    scale = (10 ** (-requested / 20) if mixing == "snr" else requested / 0.0707107)[:, None]
    arrays = {
        "noisy": clean[[w for w, _ in rows]] + np.float32(scale) * sine(noise),
        "clean": clean[[w for w, _ in rows]],
        "source": np.array([f"{w // 2:032x}".encode() for w, _ in rows], "S32"),
        "group": np.array([-5 + w // 2 for w, _ in rows], np.int64),
        "start": np.array([SAMPLES * (w % 2) for w, _ in rows], np.int64),
        "requested": requested,
        "noise_kind": np.array([w % 2 for w, _ in rows], np.int32),
    }
    types = {"source": "bytes32", "group": "int64", "start": "int64", "noise_kind": "int32"}
    fields = [
        Field(name, types.get(name, "float32"), a.shape[1:], "", ("sample",) * (a.ndim - 1))
        for name, a in arrays.items()
    ]
    data = hdf5.encode(fields, arrays, {})
    folder.mkdir(exist_ok=True)
    sha = store.write_bytes(folder / "test-0.h5", data)
    shard = {
        "path": "test-0.h5", "split": "test", "format": "hdf5", "examples": len(rows),
        "bytes": len(data), "sha256": sha,
    }  # fmt: skip
    told = {
        "schema": 1, "name": folder.name, "key": "k", "fingerprint": "f",
        "recipe": {"audio": {"rate": rate}, "mix": {"kind": mixing, "values": LEVELS}},
        "fields": [f.to_json() for f in fields], "classes": [], "tags": [],
        "noises": ["white", "pink"], "names": {}, "statistics": {}, "shards": [shard],
        "receipts": [], "noise": [], "noise_fields": [], "counts": {}, "feature_description": {},
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(told)))
    return load_index(folder)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make(tmp_path / "made")


def of(rows: Sequence[Row], **told: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in told.items())]


def test_every_mixture_and_every_clean_window_goes_through_every_system(index: Index) -> None:
    rows = evaluate.measure({"half": less_noise}, index, perceptual=False)
    assert len(rows) == 2 * (12 + 4)
    for level in LEVELS:
        before, after = (of(rows, system=name, level=level) for name in ("input", "half"))
        assert [row["si_sdr"] for row in before] == pytest.approx([level] * 4, abs=1e-3)
        assert [row["gain"] for row in before] == [0.0] * 4
        assert [row["gain"] for row in after] == pytest.approx([20 * math.log10(2)] * 4, abs=1e-3)
    assert {row["group"] for row in rows} == {f"{2**64 - 5:016x}", f"{2**64 - 4:016x}"}
    assert {(row["kind"], row["start"]) for row in of(rows, level=0.0)} == {
        ("white", 0), ("pink", SAMPLES),
    }  # fmt: skip
    assert all(math.isnan(row["pesq"]) for row in rows)


def test_levels_of_noise_are_the_recipes(tmp_path: Path) -> None:
    index = make(tmp_path / "made", mixing="level")
    rows = evaluate.measure({}, index, perceptual=False)
    assert {row["level"] for row in rows} == {*DEVIATIONS, "clean"}
    found = of(rows, level=0.1)[0]
    assert found["si_sdr"] == pytest.approx(20 * math.log10(0.0707107 / 0.1), abs=1e-3)
    told = summary(rows)
    assert told["span"] == list(DEVIATIONS)
    assert "0.005  0.01" in table(told)


def test_what_a_system_does_to_clean_sound_is_told(index: Index) -> None:
    def hums(waves: np.ndarray, rate: int) -> np.ndarray:
        return waves + 0.01 * sine(NOISE, waves.shape[1], rate)

    rows = of(evaluate.measure({"hums": hums}, index, perceptual=False), level="clean")
    assert [row["si_sdr"] for row in of(rows, system="input")] == [100.0] * 4
    assert [row["si_sdr"] for row in of(rows, system="hums")] == pytest.approx([40.0] * 4, abs=1e-3)
    assert all(math.isnan(row["gain"]) for row in rows)


def test_silence_has_no_score_and_is_counted(tmp_path: Path) -> None:
    index = make(tmp_path / "made", silent=1)
    rows = evaluate.measure({"half": less_noise}, index, perceptual=False)
    silent = [row for row in rows if row["source"].endswith("0") and row["start"]]
    assert len(silent) == 2 * 4
    assert all(math.isnan(row["si_sdr"]) and math.isnan(row["gain"]) for row in silent)
    told = summary(rows, "half")
    assert (told["systems"]["half"]["scored"]["gain"], told["systems"]["half"]["of"]) == (9, 12)
    assert "no score (silence, no speech): gain 3, SI-SDR 3 of 12 (input, half)" in table(told)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (lambda waves, rate: waves[:, 1:], "half: a system changes the length"),
        (lambda waves, rate: waves * np.nan, f"half: {0:032x} from sample 0: a system gives"),
    ],
)
def test_an_answer_that_is_no_sound_is_refused(index: Index, bad: Any, text: str) -> None:
    with pytest.raises(RunError, match=text):
        evaluate.measure({"half": bad}, index, perceptual=False)


def test_a_limit_is_drawn_over_all_levels_and_speakers(index: Index) -> None:
    rows = evaluate.measure({}, index, perceptual=False, limit=6)
    mixed = [row for row in rows if row["level"] != "clean"]
    assert len(mixed) == 6
    assert len({row["level"] for row in mixed}) > 1
    assert len({row["group"] for row in mixed}) > 1


def test_nothing_to_measure_is_said(index: Index) -> None:
    with pytest.raises(DataError, match="the train split of made is empty"):
        evaluate.measure({}, index, "train")
    with pytest.raises(DataError, match="no 'other' shards"):
        evaluate.measure({}, index, "other")


def test_all_are_scored_where_the_narrowest_can_hear(tmp_path: Path) -> None:
    """Noise above 4 kHz: nobody who works at 8 kHz is to be praised for its absence."""
    index = make(tmp_path / "made", noise=6000.0)
    narrow = Resampled(lambda waves: waves, 8000)
    rows = evaluate.measure({"narrow": narrow}, index, perceptual=False)
    assert {row["rate"] for row in rows} == {8000}
    before = [row["si_sdr"] for row in of(rows, system="input", level=0.0)]
    assert min(before) > 30.0  # the noise itself is 0 dB
    gains = [row["gain"] for row in of(rows, system="narrow", level=0.0)]
    assert max(map(abs, gains)) < 3.0
    apart = evaluate.measure({}, index, perceptual=False, rate=8000)
    assert [row["si_sdr"] for row in of(apart, level=0.0)] == before
    wide = evaluate.measure({}, index, perceptual=False)
    assert {row["rate"] for row in wide} == {RATE}
    assert of(wide, level=0.0)[0]["si_sdr"] == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(RunError, match="rows that cannot be compared"):
        summary(rows + wide)


@pytest.mark.parametrize("net_rate", [8000, 16000, 22050])
@pytest.mark.parametrize("warm", [0.0, 0.3, 9.0])
def test_a_system_of_another_rate_answers_at_the_same_moment(net_rate: int, warm: float) -> None:
    random = np.random.default_rng(0)
    waves = at_rate(random.standard_normal((3, 1999)).astype(np.float32), 4000, RATE, 7001)
    found = Resampled(lambda waves: waves, net_rate, warm)(waves, RATE)
    assert found.shape == waves.shape
    inner = slice(200, -200)
    assert metrics.si_sdr(found[:, inner], waves[:, inner]).min() > 25.0


def test_warming_up_is_heard_before_the_window() -> None:
    heard = []

    def work(waves: np.ndarray) -> np.ndarray:
        heard.append(waves)
        return np.cumsum(np.ones_like(waves), 1)

    waves = np.arange(10, dtype=np.float32)[None]
    assert Resampled(work, 100, 0.04)(waves, 100).tolist() == [list(range(5, 15))]
    assert heard[0].tolist() == [[0, 1, 2, 3, *range(10)]]


def test_a_network_is_a_system() -> None:
    torch.manual_seed(0)
    net = make_net("spec", 16000).train()
    waves = np.stack([sine(440), sine(600)])
    found = ours(net, 16000)(waves, 16000)
    with torch.no_grad():
        np.testing.assert_allclose(found, net.eval()(torch.from_numpy(waves)), atol=1e-6)
    cost = costs(ours(net, 16000), 22050)
    assert cost["parameters"] == metrics.parameters(net)
    assert cost["macs"] == pytest.approx(metrics.macs_per_second(net, 16000))
    assert 0.001 < cost["rtf"] < 10
    assert math.isnan(costs(identity, 16000)["macs"])


def test_a_network_answers_as_after_training_and_is_not_warmed_up_for_its_speed() -> None:
    class Drops(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, waves: Any) -> Any:
            lengths.append(waves.shape[1])
            return self.scale * torch.nn.functional.dropout(waves, 0.5, self.training)

    lengths: list[int] = []
    system = replace(ours(Drops(), RATE), warm=0.25)  # type: ignore[arg-type]
    waves = sine(440)[None]
    np.testing.assert_array_equal(system(waves, RATE), waves)
    assert lengths == [SAMPLES + RATE // 4]
    assert costs(system, RATE)["parameters"] == 1
    assert set(lengths[1:]) == {4 * RATE}
    lengths.clear()
    costs(Resampled(lambda waves: lengths.append(waves.shape[1]) or waves, RATE, 0.25), RATE)
    assert set(lengths) == {4 * RATE}


def test_perceptual_scores_are_those_of_the_packages(
    index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "missing", lambda: ["ESTOI is left out: get it"])
    monkeypatch.setattr(metrics, "pesq_wb", lambda found, clean, rate: float(rate))
    monkeypatch.setattr(dnsmos, "model", lambda: None)
    rows = evaluate.measure({}, index, limit=2)
    assert {row["pesq"] for row in rows} == {RATE}
    assert all(math.isnan(row["estoi"]) and math.isnan(row["dnsmos"]) for row in rows)
    said = capsys.readouterr().err
    assert "ESTOI is left out: get it\n" in said
    assert dnsmos.HOW in said
    assert "ESTOI" not in table(summary(rows)).replace("PESQ, ESTOI, DNSMOS: over", "")


def test_dnsmos_is_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("speechmos.dnsmos")
    if dnsmos.model() is None:
        pytest.skip("onnxruntime is not installed")
    wave = np.tile(sine(440, 16000) * np.linspace(0, 1, 16000, dtype=np.float32), 10)
    wave += 0.003 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    wave = wave[: dnsmos.SAMPLES]
    expected = package.run(wave, 16000)["ovrl_mos"]
    assert dnsmos.dnsmos(wave, wave, 16000) == pytest.approx(expected, abs=1e-4)
    short = wave[:16000]  # repeated until it is long enough, as there
    assert dnsmos.dnsmos(short, short, 16000) == pytest.approx(
        dnsmos.dnsmos(np.tile(short, 10), np.tile(short, 10), 16000)
    )
    assert math.isnan(dnsmos.dnsmos(short, 0 * short, 16000))


def test_progress_is_plain_lines_without_a_terminal(
    index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "EVERY", 0.0)
    evaluate.measure({}, index, perceptual=False)
    said = capsys.readouterr().err
    assert said.startswith("made: 8 of 12 mixtures, ")
    assert "\r" not in said
    assert "12 of 12" not in said
    assert not sys.stderr.isatty()


def test_a_model_on_every_recipe(tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets = {"one": (make_net("spec", 16000), 16000), "two": (make_net("spec", 8000), 8000)}
    indexes = {name: make(tmp_path / name) for name in ("speech", "music")}
    cells = evaluate.matrix(nets, indexes, limit=6)
    rates = {name: [row[on]["rate"] for on in ("speech", "music")] for name, row in cells.items()}
    assert rates == {"one": [16000, 16000], "two": [8000, 8000]}
    rows = evaluate.measure(
        {"one": ours(*nets["one"])}, indexes["music"], perceptual=False, limit=6
    )
    gains = [r["gain"] for r in of(rows, system="one") if r["level"] in (0.0, 5.0)]
    assert cells["one"]["music"]["mean"] == pytest.approx(np.mean(gains))
    lines = matrix_table(cells).splitlines()
    assert lines[3].split() == ["speech", "music"]
    assert [line.split()[0] for line in lines[4:]] == ["one", "two"]
    assert lines[5].count("at 8000 Hz") == 2


# Summaries of rows made by hand.


def row(gain: float, **told: Any) -> Row:
    scores = {"si_sdr": 10.0 + gain, "pesq": math.nan, "estoi": 0.5, "dnsmos": math.nan}
    return {
        "system": "melmill", "recipe": "made", "split": "test", "rate": RATE, "kind": "white",
        "level": 10.0, "unit": "dB", "source": "s", "group": "g", "start": 0, "gain": gain,
        **scores, "parameters": 1000.0, "macs": math.nan, "rtf": 0.5, **told,
    }  # fmt: skip


def speakers(sizes: Sequence[tuple[float, int]], **told: Any) -> list[Row]:
    """For each speaker so many windows of one gain."""
    return [
        row(gain, group=f"g{who}", source=f"s{who}", start=at, **told)
        for who, (gain, count) in enumerate(sizes)
        for at in range(count)
    ]


def test_an_interval_is_over_speakers_not_over_windows() -> None:
    found = by_group(speakers([(0.0, 50), (10.0, 50)]), "gain")
    assert found == {"mean": 5.0, "low": 0.0, "high": 10.0}  # over 100 windows: 4 to 6
    uneven = by_group(speakers([(0.0, 90), (10.0, 10)]), "gain")
    assert uneven["mean"] == 1.0
    crowd = by_group(speakers([(0.0, 9), (10.0, 1)] * 20), "gain")
    assert crowd["mean"] == 1.0
    assert crowd["high"] < 2.5  # of the speakers' own means: 5, and 3.5 to 6.5
    many = by_group(speakers([(float(who % 2), 3) for who in range(100)]), "gain")
    assert many["low"] == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert many["high"] == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)


def test_of_one_speaker_the_recordings_are_drawn() -> None:
    rows = [row(gain, source=f"s{gain}", start=at) for gain in (0.0, 10.0) for at in range(50)]
    assert by_group(rows, "gain") == {"mean": 5.0, "low": 0.0, "high": 10.0}
    assert summary(rows)["interval_over"] == "sources"
    assert by_group(rows[:50], "gain") == {"mean": 0.0, "low": None, "high": None}
    assert by_group(rows, "pesq") == {"mean": None, "low": None, "high": None}


def test_means_are_over_0_to_15_db() -> None:
    levels = {-5.0: 100.0, 0.0: 4.0, 15.0: 2.0, 20.0: -100.0}
    rows = [row(gain, level=level) for level, gain in levels.items()]
    told = summary(rows)
    assert told["span"] == [0.0, 15.0]
    assert told["systems"]["melmill"]["over"]["gain"]["mean"] == 3.0
    assert told["systems"]["melmill"]["levels"]["-5"]["gain"] == 100.0
    assert summary(rows[3:])["span"] == [20.0]


def test_runs_are_averaged_and_their_spread_told() -> None:
    rows = []
    for run, gain in (("a", 1.0), ("b", 2.0), ("c", 6.0)):
        rows += speakers([(gain, 4), (gain, 4)], run=run)
    one = summary(rows)["systems"]["melmill"]
    assert (one["runs"], one["over"]["gain"]["mean"]) == (3, 3.0)
    assert one["spread"]["gain"] == pytest.approx(math.sqrt(7.0))  # of 1, 2, 6
    assert one["spread"]["pesq"] is None
    assert summary(rows)["mixtures"] == 8
    rows += speakers([(0.0, 4), (0.0, 4)], system="input")
    assert "3.0 ±2.6" in table(summary(rows))
    assert "standard deviation over 3 runs" in table(summary(rows))


def test_the_worst_and_the_clean_are_named() -> None:
    rows = [row(float(gain), source=f"s{gain}") for gain in range(101)]
    rows += [row(math.nan, source="silent")]
    rows += [row(math.nan, level="clean", si_sdr=x, start=int(x)) for x in (30.0, 20.0, 25.0, 10.0)]
    one = summary(rows)["systems"]["melmill"]
    assert (one["worst"]["mean"], one["worst"]["count"]) == (2.5, 6)
    assert [r["source"] for r in one["worst"]["rows"]] == [f"s{i}" for i in range(6)]
    clean = {"windows": 4, "median": 22.5, "mean": 21.25, "worst": 10.0}
    assert one["clean"] == {**clean, "where": {"source": "s", "start": 10}}


@pytest.mark.filterwarnings("error")
def test_ahead_compares_mixture_by_mixture() -> None:
    """Speakers differ by 20 dB, the two systems by 1 dB in each."""
    sizes = [(20.0 * who, 5) for who in range(6)]
    rows = speakers(sizes) + [
        {**one, "system": "peer", "gain": one["gain"] - 1.0, "run": run}
        for one in speakers(sizes)
        for run in "ab"
    ]
    gap = ahead(rows, "melmill", "peer")["gain"]
    assert [gap[name] for name in ("mean", "low", "high")] == pytest.approx([1.0] * 3)
    alone = by_group(rows[:30], "gain")
    assert alone["high"] - alone["low"] > 20  # type: ignore[operator]
    lost = [one for one in rows if one["system"] == "peer" and one["start"]] + rows[:30]
    assert ahead(lost, "melmill", "peer")["gain"]["mean"] == pytest.approx(1.0)


def test_a_table_has_a_line_for_each_system(index: Index) -> None:
    rows = evaluate.measure({"melmill": less_noise}, index, perceptual=False)
    text = table(summary(rows))
    lines = text.splitlines()
    assert lines[0] == ("made, test: 12 mixtures of 2 recordings in 2 groups, scored at 16000 Hz")
    head, first, second = lines[3:6]
    assert head.split() == [
        "0", "dB", "5", "dB", "20", "dB", "mean", "95", "%", "median", "clean", "worst", "params",
        "MACs/s", "RTF",
    ]  # fmt: skip
    assert first.split()[:5] == ["input", "0.0", "0.0", "0.0", "0.0"]
    assert second.split()[:7] == ["melmill", "6.0", "6.0", "6.0", "6.0", "[6.0,", "6.0]"]
    assert len({len(line) for line in (head, first, second)}) == 1
    assert "-0.0" not in text
    assert "Gain of melmill, dB" in text


def test_what_is_saved_can_be_read_again(index: Index, tmp_path: Path) -> None:
    rows = [{**one, "run": "a"} for one in evaluate.measure({}, index, perceptual=False)]
    told = summary(rows)
    save(rows, told, tmp_path / "new")
    assert durable.read_json(tmp_path / "new/evaluation-made.json") == told
    with open(tmp_path / "new/evaluation-made.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows) == 16
    assert [float(r["si_sdr"]) for r in read] == pytest.approx(
        [r["si_sdr"] for r in rows], rel=1e-5
    )
    assert {r["pesq"] for r in read} == {""}
    assert {r["run"] for r in read} == {"a"}
    assert summaries.SPAN == (0.0, 15.0)


def test_the_input_and_ours_come_first_however_a_file_orders_them(index: Index) -> None:
    systems = {"A": identity, "melmill": less_noise}
    told = summary(evaluate.measure(systems, index, perceptual=False))
    told["systems"] = dict(sorted(told["systems"].items()))
    first = [line.split()[0] for line in table(told).splitlines()[4:7]]
    assert first == ["input", "melmill", "A"]
