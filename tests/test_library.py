"""Features without a corpus: the numbers of the shards, and a reason for every file that fails."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import cookbook, extract, jobs
from pipeline.cookbook import load
from pipeline.disk import stamps
from pipeline.errors import UsageError
from pipeline.formats import hdf5
from pipeline.formats.fields import Field
from tests import corpus


def tone(path: Path, seconds: float, rate: int = 22050, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(path, 0.1 * noise, rate)
    return path


def test_order_reasons_and_metadata(tmp_path: Path) -> None:
    good = [tone(tmp_path / f"{i}.wav", 1 + i, seed=i) for i in range(3)]
    bad = tmp_path / "bad.wav"
    bad.write_text("<html>")
    results = extract([good[2], bad, good[0], tmp_path / "gone.wav", good[1]], quiet=True)
    assert [one.reason for one in results] == ["", "not_audio", "", "missing", ""]
    assert [one.ok for one in results] == [True, False, True, False, True]
    assert results[0].path == os.fspath(good[2])
    assert (results[0].recipe, results[0].rate) == ("noise-classifier", 22050)
    assert results[0].shapes == {"logmel": (1, 130, 128)}
    assert results[0].seconds == pytest.approx(3.0)
    assert results[1].detail


def test_nothing_to_do() -> None:
    assert extract([], quiet=True) == []


def test_the_numbers_are_those_of_the_shards(tmp_path: Path) -> None:
    data = corpus.small_corpus(tmp_path / "data")
    recipe = corpus.recipes(tmp_path, corpus.CLASSES)
    artifacts = tmp_path / "artifacts"
    told = ["--data", data, "--artifacts", artifacts, "--recipe", recipe]
    done = corpus.run(["features", *told])
    assert done.returncode == 0, done.stderr
    one = load([recipe])[0]
    index = json.loads((artifacts / one.name / "index.json").read_text())
    fields = [Field.from_json(f) for f in index["fields"]]
    stored = {}
    for shard in index["shards"]:
        if shard["format"] == "hdf5":
            arrays = hdf5.decode(artifacts / one.name / shard["path"], fields)
            for row in range(shard["examples"]):
                name = (arrays["source"][row], int(arrays["start"][row]))
                stored[name] = {f: arrays[f][row] for f in one.features}
    files = sorted(p for p in data.rglob("*") if p.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    seen = 0
    for found in extract(files, recipe, count=2, quiet=True):
        ident = stamps.sha256_file(Path(found.path))[:32].encode()
        for row, start in enumerate(found.starts if found.ok else ()):
            if (ident, int(start)) in stored:
                for name, array in found.features.items():
                    np.testing.assert_array_equal(array[row], stored[ident, int(start)][name])
                seen += 1
    assert seen == len(stored) > 0


def test_blocks_under_a_memory_bound_give_the_same(tmp_path: Path) -> None:
    long = tone(tmp_path / "long.wav", 40.0)
    free = extract([long], "musicnn", quiet=True)[0]
    bound = extract([long], "musicnn", max_ram=2 << 20, quiet=True)[0]
    assert free.shapes["logmel"][0] == 13
    np.testing.assert_array_equal(free.features["logmel"], bound.features["logmel"])


def test_a_recipe_that_mixes_or_has_profiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mixes noise"):
        extract(["x.wav"], "denoise-speech")
    text = (cookbook.SHIPPED / "noise-classifier.toml").read_text()
    (tmp_path / "two.toml").write_text(text + "[profiles.long]\n[profiles.short]\n")
    with pytest.raises(UsageError, match="several profiles"):
        extract(["x.wav"], str(tmp_path / "two.toml"))


def test_goes_on_without_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise jobs._NoPool("no semaphores here")

    monkeypatch.setattr(jobs, "_pool", refuse)
    assert extract([tone(tmp_path / "a.wav", 1.0)])[0].ok
    said = capsys.readouterr().err
    assert "no semaphores here" in said
    assert "in this process" in said


def test_closing_line_shows_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract([tone(tmp_path / "a.wav", 1.0)], max_ram=600 << 20, count=1)
    assert "1 files, 0 rejected, 1 workers, at most" in capsys.readouterr().err
