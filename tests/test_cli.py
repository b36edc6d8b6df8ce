"""The commands: every option explained, every failure one line with its exit code.

Reads and writes in pytest's own folder.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline import cli, jobs, request, stages
from pipeline.errors import MelmillError, TooManyRejected, UsageError
from pipeline.layouts import recognise as layouts
from tests import corpus, inline

COMMANDS = ["scan", "decode", "shards", "features", "resume", "verify", "report", "clean", "doctor",
            "real-audio"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, recipes/, artifacts/: one run of everything, in processes of its own."""
    root = tmp_path_factory.mktemp("cli")
    corpus.small_corpus(root / "data")
    corpus.recipes(root / "recipes")
    done = corpus.run(asked(root))
    assert done.returncode == 0, done.stderr
    (root / "said.txt").write_text(done.stdout)
    return root


def asked(root: Path, *more: object, command: str = "features") -> list[object]:
    told = ["--data", root / "data", "--artifacts", root / "artifacts", "--jobs", 2]
    return [command, *told, "--recipe", corpus.recipes(root / "recipes"), *more]


def run(*args: object) -> str:
    """A command in this process; its errors pass through."""
    done = CliRunner().invoke(cli.cli, [str(a) for a in args], standalone_mode=False)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "run", inline.run)
    for name in corpus.ASKED:
        monkeypatch.delenv(name, raising=False)


# ------------------------------------------------------------------ help


def test_the_commands_are_these_and_each_says_what_it_does() -> None:
    assert sorted(cli.cli.commands) == sorted(COMMANDS)
    text = CliRunner().invoke(cli.cli, ["--help"]).output
    for name in COMMANDS:
        assert re.search(rf"^  {name} +[A-Z]", text, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_option_with_its_meaning(name: str) -> None:
    command = cli.cli.commands[name]
    text = CliRunner().invoke(cli.cli, [name, "-h"]).output
    for option in command.params:
        assert isinstance(option, click.Option)
        assert option.help, f"{option.name} has no help"
        assert option.envvar or option.is_flag, f"{option.name} cannot come from make"
        assert f"{option.opts[0]} " in text
        assert " ".join(option.help.split())[:30] in " ".join(text.split())


def test_make_and_the_commands_know_the_same_variables() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    known = set(re.search(r"^ASKED := (.*)$", text, re.M)[1].split())  # type: ignore[index]
    options = [o for c in cli.cli.commands.values() for o in c.params]
    known |= {"OUT"}  # of training too
    assert known == {str(o.envvar) for o in options if o.envvar}


def test_every_layout_is_named_in_the_help() -> None:
    text = " ".join(CliRunner().invoke(cli.cli, ["scan", "-h"]).output.split())
    assert all(name in text.replace("- ", "-") for name in layouts.LAYOUTS)


# ------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 << 30), ("800MB", 800 << 20), ("1.5g", 3 << 29), ("300 MiB", 300 << 20), ("7", 7),
     ("2k", 2048), ("1T", 1 << 40)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert request._Bytes().convert(text, None, None) == size


@pytest.mark.parametrize(
    "text", ["lots", "4 XB", "-1GB", "", "1e9", "GB", "4G B", "0", "0.4", "15i", "9" * 400]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size; say 4GB or 800MB"):
        request._Bytes().convert(text, None, None)


def given(**told: object) -> request.Request:
    plain = {"data": "", "artifacts": "artifacts", "recipes": "", "layout": "auto", "role": "",
             "splits": "", "count": None, "max_ram": None, "max_rejected": 5.0}  # fmt: skip
    return request.request(**(plain | told))


def test_recipes_by_comma_or_space_or_one_path_with_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given(recipes="hybrid, musicnn,,denoise-music").recipes == (
        "hybrid", "musicnn", "denoise-music",
    )  # fmt: skip
    odd = tmp_path / "my, own.toml"
    odd.write_text(corpus.MIX)
    assert given(recipes=str(odd)).recipes == (str(odd),)
    monkeypatch.chdir(tmp_path)
    assert given(recipes="my, own.toml").recipes == (str(odd),)


def test_paths_are_absolute_so_that_resume_may_come_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("group,split\na,train\n")
    found = given(data="music", splits="s.csv")
    assert found.data == str(tmp_path / "music")
    assert found.splits == str(tmp_path / "s.csv")
    assert found.artifacts == tmp_path / "artifacts"
    assert (given().data, given(splits="groups").splits) == ("", "groups")


def test_memory_bounds_the_workers() -> None:
    assert given(count=8, max_ram=3 * jobs.WORKER).jobs == 3
    assert given(count=8).jobs == 8


def test_a_folder_with_nothing_but_a_readme_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(request.demo, "ensure", lambda folder, progress: made.append(folder))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("x")
    (tmp_path / "data" / ".hidden").write_text("x")
    assert given().root() == tmp_path / "artifacts" / "demo"
    assert made == [tmp_path / "artifacts" / "demo"]
    (tmp_path / "data" / "a.wav").write_text("x")
    assert given().root() == tmp_path / "data"
    assert given(data="other").root() == tmp_path / "other"


# ------------------------------------------------------------------ what is said


def test_the_summary(made: Path) -> None:
    text = (made / "said.txt").read_text()
    assert re.search(
        r"^scan: 12 audio files in .*/data \(layout csv\), 12 usable \(\d\d\.\d s\), 0 other files",
        text,
    )
    assert re.search(r"^decode: 12 files, \d\d\.\d s, \d+ x real time$", text, re.M)
    assert re.search(r"^found 12 files = used 12 \(\d\d\.\d s\) \+ rejected 0$", text, re.M)
    for name in ("tiny-mix", "tiny-classes"):
        row = re.search(rf"^{name} +(\d+) +(\d+) +(\d+) +\d+ +\d+\.\d  \d+ shards made", text, re.M)
        assert row
        assert all(int(n) > 0 for n in row.groups())
    assert text.endswith(f"index is {made}/artifacts/<recipe>/index.json\n")


@pytest.mark.usefixtures("here")
def test_a_second_run_says_that_nothing_is_to_do(made: Path) -> None:
    text = run(*asked(made))
    assert "decode: nothing to do" in text
    assert text.count("  nothing to do\n") == 2
    assert f"nothing to do: all of it stands in {made}/artifacts" in text


@pytest.mark.usefixtures("here")
def test_stage_by_stage_is_the_same(made: Path, tmp_path: Path) -> None:
    recipes = corpus.recipes(made / "recipes")
    told = ["--data", made / "data", "--artifacts", tmp_path / "a", "--recipe", recipes]
    for name in ("scan", "decode", "shards"):
        run(name, *told)
    assert corpus.tree_hash(tmp_path / "a") == corpus.tree_hash(made / "artifacts")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("stage", ["decode", "shards"])
def test_a_stage_goes_on_with_the_folder_that_was_scanned(
    made: Path, tmp_path: Path, stage: str
) -> None:
    """Not with another one's list of files."""
    shutil.copytree(made / "artifacts", tmp_path / "a")
    (tmp_path / "other").mkdir()
    told = ["--data", tmp_path / "other", "--artifacts", tmp_path / "a"]
    done = CliRunner().invoke(cli.cli, [stage, *map(str, told)])
    assert isinstance(done.exception, UsageError)
    assert f"the last scan was of {made}/data, not of {tmp_path}/other" in str(done.exception)
    assert corpus.tree_hash(tmp_path / "a") == corpus.tree_hash(made / "artifacts")


@pytest.mark.usefixtures("here")
def test_a_stage_does_not_go_on_from_a_scan_that_failed(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "artifacts", tmp_path / "a")
    told = ["--data", str(tmp_path / "other"), "--artifacts", str(tmp_path / "a")]
    done = CliRunner().invoke(cli.cli, ["scan", *told])
    assert "no such folder" in str(done.exception)
    done = CliRunner().invoke(cli.cli, ["decode", *told])
    assert "the last scan did not end" in str(done.exception)
    stands = ["--data", str(made / "data"), "--artifacts", str(tmp_path / "a")]
    assert "the last scan did not end" in str(
        CliRunner().invoke(cli.cli, ["decode", *stands]).exception
    )


@pytest.mark.usefixtures("here")
def test_resume_does_what_was_asked_last(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made / "artifacts", tmp_path / "a")
    (tmp_path / "a" / "tiny-mix" / "index.json").unlink()
    monkeypatch.chdir(tmp_path)
    text = run("resume", "--artifacts", "a")
    assert "tiny-mix" in text
    assert corpus.tree_hash(tmp_path / "a") == corpus.tree_hash(made / "artifacts")


@pytest.mark.usefixtures("here")
def test_as_before_keeps_what_is_not_said(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decides the bytes of the shards was said once; another recipe comes beside it."""
    told = ["--artifacts", tmp_path / "a", "--recipe", corpus.recipes(made / "recipes", corpus.MIX)]
    splits = tmp_path / "splits.csv"
    splits.write_text("group,split\nvoice0,test\nvoice1,valid\n")
    before = ["--data", made / "data", "--splits", splits, "--layout", "csv", "--jobs", 1]
    run("features", *before, *told)
    mark = corpus.tree_hash(tmp_path / "a")
    assert '"voice0","test"' in (tmp_path / "a" / "splits.csv").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPLITS", "")  # as make exports what is not said
    text = run("features", "--as-before", *told)
    assert f"{made}/data (layout csv)" in text
    assert "tiny-mix" in text
    assert corpus.tree_hash(tmp_path / "a") == mark
    run("features", "--as-before", "--artifacts", tmp_path / "a",
        "--recipe", corpus.recipes(made / "recipes", corpus.CLASSES))  # fmt: skip
    kept = json.loads((tmp_path / "a" / ".cache" / "last.json").read_bytes())
    assert (kept["splits"], kept["layout"]) == (str(splits), "csv")
    assert kept["recipes"] == [str(made / "recipes" / "tiny-classes.toml")]
    run("features", "--as-before", *told, "--data", made / "data")  # the same folder, said again
    (tmp_path / "link").symlink_to(made / "data")
    run("features", "--as-before", *told, "--data", tmp_path / "link")
    kept = json.loads((tmp_path / "a" / ".cache" / "last.json").read_bytes())
    assert (kept["splits"], kept["layout"]) == (str(splits), "csv")


LAST = {
    "data": "/once/data", "artifacts": "", "recipes": ["hybrid"], "layout": "musan",
    "role": "noise", "splits": "groups", "jobs": 7, "max_rejected": 50.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [("data", "/new", "/new"), ("layout", "auto", "auto"), ("role", "", ""), ("role", "music",
      "music"), ("splits", "", ""), ("max_rejected", "5", 5.0)],
)  # fmt: skip
@pytest.mark.parametrize("way", ["option", "variable"])
def test_as_before_takes_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, taken: object,
    way: str,
) -> None:  # fmt: skip
    """Also where it is what would have been taken anyway."""
    seen: list[request.Request] = []
    monkeypatch.setattr(stages, "features", seen.append)
    for name in corpus.ASKED:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "last.json").write_text(json.dumps(LAST))
    said = [f"--{option.replace('_', '-')}", value] if way == "option" else []
    if way == "variable":
        monkeypatch.setenv(option.upper(), value)
    run("features", "--as-before", "--artifacts", tmp_path, "--recipe", "musicnn", "--jobs", 1,
        *said)  # fmt: skip
    unsaid = {name: LAST[name] for name in ("data", "layout", "role", "splits", "max_rejected")}
    if option == "data":  # what was said of one folder is not true of another
        unsaid = {"layout": "auto", "role": "", "splits": "", "max_rejected": 5.0}
    if value or way == "option":  # make exports a variable that is not said as an empty one
        unsaid[option] = taken
    assert {name: getattr(seen[0], name) for name in unsaid} == unsaid
    assert (seen[0].recipes, seen[0].jobs) == (("musicnn",), 1)


@pytest.mark.parametrize("last", [None, "[]", '{"odd": 1, "recipes": []}'])
def test_as_before_for_the_first_time_is_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str | None
) -> None:
    seen: list[request.Request] = []
    monkeypatch.setattr(stages, "features", seen.append)
    if last is not None:
        (tmp_path / ".cache").mkdir()
        (tmp_path / ".cache" / "last.json").write_text(last)
    for flag in ([], ["--as-before"]):
        run("features", *flag, "--artifacts", tmp_path, "--data", "x", "--recipe", "musicnn")
    assert seen[0] == seen[1]


@pytest.mark.parametrize("last", [None, "[]", '{"data": "x"}', '{"odd": 1, "recipes": []}'])
def test_nothing_to_resume(tmp_path: Path, last: str | None) -> None:
    if last is not None:
        (tmp_path / ".cache").mkdir()
        (tmp_path / ".cache" / "last.json").write_text(last)
    with pytest.raises(MelmillError, match="nothing to resume. Run `make features`"):
        run("resume", "--artifacts", tmp_path)


@pytest.mark.usefixtures("here")
def test_rejected_files_are_told_with_their_reasons(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "recipes", tmp_path / "recipes")
    (tmp_path / "data" / "broken, very.wav").write_bytes(b"<html></html>")
    with open(tmp_path / "data" / "melmill.csv", "a") as file:
        file.write('"broken, very.wav",noise,rain,\n')
    text = run(*asked(tmp_path, "--max-rejected", 50))
    assert re.search(r"^found 13 files = .*\) \+ rejected 1 \(1 not_audio\)$", text, re.M)
    assert f"each rejected file with its reason: {tmp_path}/artifacts/rejected.csv" in text
    rows = (tmp_path / "artifacts" / "rejected.csv").read_text().splitlines()
    assert rows[0] == "path,reason,detail,meaning"
    assert rows[1].startswith('"broken, very.wav",not_audio,')


@pytest.mark.usefixtures("here")
def test_data_that_cannot_feed_a_recipe_says_what_it_lacks(made: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(*asked(made)[:-1], "musicnn")
    said = str(caught.value)
    assert "musicnn needs recordings with role music or labelled; here: 8 clean, 4 noise" in said
    assert "melmill.csv" in said
    assert "ROLE=" in said


@pytest.mark.usefixtures("here")
def test_without_a_recipe_what_can_be_fed_is_built_and_the_rest_is_told(tmp_path: Path) -> None:
    corpus.small_corpus(tmp_path / "data", 6)
    text = run("features", "--data", tmp_path / "data", "--artifacts", tmp_path / "a")
    lack = "recordings with role music or labelled; here: 4 noise, 2 clean"
    assert re.search(rf"^musicnn +not built: it needs {lack}$", text, re.M)
    assert re.search(r"^denoise-speech +\d+", text, re.M)


# ------------------------------------------------------------------ exit codes


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--recipe", "musicn"), "no recipe 'musicn'; .*Did you mean 'musicnn'"),
        (("--layout", "musn"), "unknown layout; .*; got 'musn'. Did you mean musan"),
        (("--role", "loud"), "unknown role; expected clean, noise, music, labelled; got 'loud'"),
        (("--splits", "none.csv"), "cannot read the splits: No such file"),
    ],
)
def test_a_mistake_is_told_before_any_work(
    tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    corpus.small_corpus(tmp_path / "data", 5)
    with pytest.raises(UsageError, match=said):
        run("features", "--data", tmp_path / "data", "--artifacts", tmp_path / "a", *more)
    assert not (tmp_path / "a" / "pcm").exists()
    assert not (tmp_path / "a" / "manifest.jsonl").exists()


def code(*args: object, **env: str) -> tuple[int, str, str]:
    done = corpus.run(args, env)
    return done.returncode, done.stdout, done.stderr


def test_0_done_and_a_variable_that_is_empty_is_none(made: Path) -> None:
    """make exports every variable that is set, empty ones too."""
    env = dict.fromkeys(corpus.ASKED, "") | {"ARTIFACTS": str(made / "artifacts")}
    found, text, err = code("verify", **env)
    assert (found, err) == (0, "")
    assert re.search(
        r"verify: \d+ shards, \d+ examples, 56 mixtures measured again: all good", text
    )


def test_1_failed(tmp_path: Path) -> None:
    found, text, err = code("features", "--data", tmp_path / "none", "--artifacts", tmp_path / "a")
    assert (found, text) == (1, "")
    assert err == f"error: {tmp_path}/none: no such folder. Give DATA=a folder of recordings\n"


def test_1_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found, _, err = code("scan", "--data", tmp_path / "data", "--artifacts", tmp_path / "a")
    assert found == 1
    assert "no usable audio" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "x: cannot read or write: Permission denied. See who may use it"),
        (errno.ENOSPC, "x: cannot write: No space left on device"),
    ],
)
def test_1_the_system_refuses_what_no_stage_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, said: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number), "x")

    monkeypatch.setattr(cli.cli, "main", refuse)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (("features", "--jbos", "2"), {}, "No such option.*--jobs"),
        (("featurs",), {}, "No such command 'featurs'"),
        (("features", "--jobs", "0"), {}, "0 is not in the range"),
        (("features",), {"JOBS": "abc"}, "'JOBS'.*'abc' is not a valid number"),
        (("features",), {"MAX_RAM": "lots"}, "'lots' is no size; say 4GB"),
        (("features",), {"RECIPE": "hybird"}, "no recipe 'hybird'.*Did you mean 'hybrid'"),
        (("features",), {"MAX_REJECTED": "101"}, "101.* is not in the range"),
    ],
)
def test_2_wrong_use(tmp_path: Path, args: tuple[str, ...], env: dict[str, str], said: str) -> None:
    found, text, err = code(*args, **env, ARTIFACTS=str(tmp_path / "a"))
    assert (found, text) == (2, "")
    assert re.search(said, " ".join(err.split()))
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "a" / "manifest.jsonl").exists()


def test_2_data_that_can_feed_nothing(tmp_path: Path) -> None:
    corpus.small_corpus(tmp_path / "data", 1)
    (tmp_path / "data" / "melmill.csv").unlink()
    found, text, err = code(
        "features", "--data", tmp_path / "data", "--artifacts", tmp_path / "a", "--jobs", 1
    )
    assert found == 2
    assert "hybrid " in text
    assert re.fullmatch(r"error: .*/data: this data can feed no recipe\. Say ROLE=.*\n", err)


def test_3_too_many_rejected(tmp_path: Path) -> None:
    corpus.small_corpus(tmp_path / "data", 5)
    (tmp_path / "data" / "voice0-0.wav").write_bytes(b"")
    found, _, err = code("features", "--data", tmp_path / "data", "--artifacts", tmp_path / "a",
                         "--jobs", 1)  # fmt: skip
    assert found == 3
    assert "1 of 5 files rejected (1 empty; the first is voice0-0.wav, no bytes" in err
    assert "voice0-0.wav,empty" in (tmp_path / "a" / "rejected.csv").read_text()


@pytest.mark.usefixtures("here")
def test_a_folder_whose_name_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus.small_corpus(tmp_path / "data", 1)
    (tmp_path / "data").rename(data := tmp_path / "caf\udce9")  # a byte that is not UTF-8
    told = ["pipeline", "scan", "--data", str(data), "--artifacts", str(tmp_path / "art\udce9")]
    monkeypatch.setattr(sys, "argv", told)
    cli.main()
    assert f"4 audio files in {tmp_path}/caf\\udce9 " in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_3_all_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "data").mkdir()
    for name in ("a.m4a", "b.m4a"):
        (tmp_path / "data" / name).write_bytes(b"\x00\x00\x00\x1cftypM4A " + name.encode())
    (tmp_path / "data" / "c.wav").write_bytes(b"")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rejected.csv").write_text("of an older run")
    with pytest.raises(TooManyRejected, match="all 3 files rejected: 2 unsupported") as caught:
        run(
            "scan",
            "--data",
            tmp_path / "data",
            "--artifacts",
            tmp_path / "a",
            "--max-rejected",
            100,
        )
    assert "(a.m4a: mov is read by PyAV: .venv/bin/pip install av" in str(caught.value)
    assert "1 empty (c.wav: 0 bytes). See rejected.csv" in str(caught.value)
    listed = (tmp_path / "a" / "rejected.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in listed[1:]] == [
        ["a.m4a", "unsupported"], ["b.m4a", "unsupported"], ["c.wav", "empty"],
    ]  # fmt: skip


def test_clean_leaves_what_is_not_ours_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "pcm").mkdir()
    (tmp_path / "pcm" / "index.json").write_text("{}")
    (tmp_path / "mine.txt").write_text("x")
    found, text, err = code("clean", "--artifacts", tmp_path)
    assert (found, text) == (0, "")
    assert err == f"left alone (not made by make features): {tmp_path}/mine.txt\n"
    assert sorted(os.listdir(tmp_path)) == [".lock", "mine.txt"]
    assert code("clean", "--artifacts", tmp_path / "none")[0] == 0


def test_output_into_a_closed_pipe_is_no_traceback(made: Path) -> None:
    args = corpus.command(["scan", "--data", made / "data", "--artifacts", made / "artifacts"])
    with subprocess.Popen(
        args, env=corpus.environment(), cwd=corpus.REPO, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert "Traceback" not in run.stderr.read()
