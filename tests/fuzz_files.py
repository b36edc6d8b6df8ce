"""Small valid files of every kind that the project reads, for the sweep of mutated ones.

Reads the shipped recipes. Does: makes each file with the project's own writers, or the decoders'
libraries. Writes: into the folder given, `kind`.0 and `kind`.1, the same bytes each time.
"""

import json
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline import scan
from pipeline.audio.pcm import PackWriter
from pipeline.disk import store
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from tests import corpus
from tests.hostile import _nist, _rf64, encoded, pcm16, tone, wav
from training import durable
from training.engine.checkpoint import pack

RATE, FRAMES = 8000, 2400
FIELDS = [
    Field("mel", "float32", (4, 3), "dB", ("frame", "mel")), Field("label", "int32", (), "", ()),
    Field("half", "float16", (2,), "", ("n",)), Field("tags", "uint8", (3,), "", ("tag",)),
    Field("source", "bytes32", (), "", ()), Field("start", "int64", (), "samples", ()),
]  # fmt: skip
SF = {"wav24": ("WAV", "PCM_24"), "wavfloat": ("WAV", "FLOAT"), "wavex": ("WAVEX", "PCM_16")}
PYAV = {"m4a": "aac", "webm": "libopus", "aac": "aac"}
SOUND = (
    "wav16", *SF, "rf64", "nist", "flac", "ogg", "opus", "mp3", "aiff", "w64", "caf", "au", *PYAV,
)  # fmt: skip
SEALED = ("tfrecord", "h5", "pcm", "index", "receipt", "manifest", "ckpt", "state")
FORGED = ("tfrecord-crc", "h5-bare", "index-seal", "ckpt-hash")  # with a hash or seal that fits
TEXT = ("recipe", "list", "rttm", "esc50", "splits", "metrics")
KINDS = (*SOUND, *SEALED, *FORGED, *TEXT)
RTTM = "".join(f"SPEAKER talk 1 {t / 4:.2f} 0.5 <NA> <NA> ann{t % 3} <NA> <NA>\n" for t in range(9))


def write(folder: Path) -> None:
    """One valid file of each kind, two where that is cheap, under kind.0 and kind.1."""
    folder.mkdir(parents=True)
    for number in (0, 1):
        for kind in SOUND[: -len(PYAV)]:
            (folder / f"{kind}.{number}").write_bytes(_sound(folder, kind, number))
        for kind, codec in PYAV.items():
            with_pyav(folder / f"{kind}.{number}", kind, codec, tone(number, 3 * RATE)[: 2 * RATE])
        for kind, data in _sealed(folder, number).items():
            (folder / f"{kind}.{number}").write_bytes(data)
        for kind, text in _texts(number).items():
            (folder / f"{kind}.{number}").write_bytes(text.encode())


def _sound(folder: Path, kind: str, number: int) -> bytes:
    samples, data = tone(number, FRAMES), pcm16(number, FRAMES).tobytes()
    if kind in SF:
        form, subtype = SF[kind]
        two = np.stack([samples, samples], axis=1)
        sf.write(folder / "x", two, RATE, format=form, subtype=subtype)
        made = (folder / "x").read_bytes()
        (folder / "x").unlink()
        at = made.find(b"PEAK") + 12  # the time of day
        return made[:at] + bytes(4) + made[at + 4 :] if at > 12 else made
    if kind == "nist":
        return _nist(data, FRAMES)
    if kind in ("wav16", "rf64"):
        return wav(data, rate=RATE) if kind == "wav16" else _rf64(data, len(data))
    return encoded(folder, kind, samples, 48000 if kind == "opus" else RATE)


def with_pyav(path: Path, kind: str, codec: str, samples: np.ndarray) -> None:
    """A file of a container that libsndfile lacks; a head alone where PyAV is not installed."""
    try:
        import av
    except ImportError:
        path.write_bytes(b"\x00\x00\x00\x1cftypM4A " + bytes(100))
        return
    form, rate = {"m4a": "mp4", "aac": "adts"}.get(kind, kind), 48000 if kind == "webm" else 16000
    with av.open(str(path), "w", format=form, container_options={"fflags": "+bitexact"}) as box:
        track = box.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype("f4")[None], "fltp", "mono")
        frame.sample_rate = rate
        for packet in [*track.encode(frame), *track.encode(None)]:
            box.mux(packet)


def arrays(number: int) -> dict[str, np.ndarray]:
    """Five examples of FIELDS."""
    draw = np.random.Generator(np.random.Philox(number))
    made = {f.name: draw.integers(0, 99, (5, *f.shape)).astype(f.numpy) for f in FIELDS}
    return made | {"source": np.array([b"%032d" % i for i in range(5)], "S32")}


def _sealed(folder: Path, number: int) -> dict[str, bytes]:
    made = {"tfrecord": tfrecord.encode(FIELDS, arrays(number)),
            "h5": hdf5.encode(FIELDS, arrays(number), {"key": "k"})}  # fmt: skip
    shards = [
        {"path": f"train-0.{end}", "split": "train", "format": form, "examples": 5,
         "bytes": len(made[end]), "sha256": store.sha256(made[end])}
        for form, end in (("hdf5", "h5"), ("tfrecord", "tfrecord"))
    ]  # fmt: skip
    index = {
        "schema": 1, "name": f"toy{number}", "key": "k", "fingerprint": "f",
        "recipe": {"mix": None, "output": {"fields": ["mel", "label"]}},
        "fields": [f.to_json() for f in FIELDS], "classes": ["a"] * 99, "tags": [], "noises": [],
        "names": {}, "shards": shards, "receipts": ["train-0.k.json"], "noise": [],
        "statistics": {"mel": {"count": 5, "mean": [0.5] * 3, "deviation": [1.0] * 3}},
        "noise_fields": [], "counts": {"found": 5},
        "feature_description": tfrecord.feature_description(FIELDS),
    }  # fmt: skip
    receipt = {"name": "train-0", "key": "k", "examples": 5, "seconds": 1.25, "files": shards}
    state = {"step": number, "learner": {"model": arrays(number), "ema": None}, 3: (1, 2.5, None)}
    del state["learner"]["model"]["source"]
    made["index"] = made["index-seal"] = store.dump_json(store.seal(index), pretty=True)
    made["receipt"] = store.dump_json(store.seal(receipt))
    made["ckpt"] = made["ckpt-hash"] = b"".join(pack(state))
    durable.write_json(folder / "x", {"schema": 1, "state": "finished", "opened": 1.5 + number})
    made["state"] = (folder / "x").read_bytes()
    with store.sealed(folder / "x", hashed=False) as sink:
        writer = PackWriter(sink, "key", "decoder")
        for one in (number, number + 2):
            writer.add(f"{one:064d}", RATE, "WAV", "int16", [pcm16(one, FRAMES)])
        writer.rejected["f" * 64] = ("empty", "0 bytes")
        writer.close()
    made["pcm"] = (folder / "x").read_bytes()
    records = [scan.Record(f"{i}.wav", "a" * 64, 99, "WAV/PCM_16", RATE, 1, FRAMES, "int16",
                           "clean", fold=i, tags=("x",), segments=((0.0, 1.5, "ann"),))
               for i in range(4)]  # fmt: skip
    scan.write(folder / "x", scan.Manifest("csv", records))
    made["manifest"] = (folder / "x").read_bytes()
    (folder / "x").unlink()
    return made | {"tfrecord-crc": made["tfrecord"], "h5-bare": made["h5"]}


def _texts(number: int) -> dict[str, str]:
    shipped = sorted((corpus.REPO / "pipeline" / "recipes").glob("*.toml"))
    rows = [f"{i}.wav,noise,rain,g{i},train,{i}.5,{i + 1}.5,{i},a|b," for i in range(6)]
    esc = [f"1-{i}-A-{i}.wav,{i % 5 + 1},{i},dog,True,{i},A" for i in range(6)]
    return {
        "recipe": shipped[number].read_text() if number else corpus.CLASSES,
        "list": "path,role,label,group,split,start,end,fold,tags,rttm\n" + "\n".join(
            [*rows, "talk.wav,labelled,,,,,,,,talk.rttm"]) + "\n",
        "rttm": RTTM,
        "esc50": "filename,fold,target,category,esc10,src_file,take\n" + "\n".join(esc) + "\n",
        "splits": "group,split\n" + "".join(f'"g{i}","{s}"\n' for i, s in
                                           enumerate(("train", "valid", "test") * 2)),
        "metrics": "".join(json.dumps({"kind": "valid", "step": i, "loss": 1 / (i + 1)}) + "\n"
                           for i in range(6)),
    }  # fmt: skip
