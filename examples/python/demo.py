"""A Hope model learns one kind of text, then goes on learning another while it reads.

    python demo.py [--text FILE] [--stream FILE] [--seconds 120] [--picture FILE]

1. A byte-level Hope of about 1 M parameters is trained on TEXT (the licences that every Debian
   machine has).
2. STREAM (the sources of Python's standard library) is read once, byte by byte, in three ways:
   by a session that learns online, by a session whose levels are frozen, and by plain fine-tuning.
3. All three are asked for both kinds of text again, on parts that none of them has read.

Seeds are fixed.  How much is read depends on the speed of the machine: the printed --steps and
--bytes repeat a run exactly.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import sys
import sysconfig
import time
from dataclasses import dataclass, field

import numpy as np

import nested

CONFIG = {
    "kind": "hope", "vocab": 256, "d_model": 128, "n_layers": 4,
    "cms": {"levels": [
        {"chunk": 64, "hidden": 128, "optimizer": "sgd", "lr": 0.02},
        {"chunk": 1024, "hidden": 128, "optimizer": "sgd", "lr": 0.1},
        {"chunk": 0, "hidden": 128},
    ]},
}
BATCH, LENGTH = 8, 256
PIECE = 2048  # bytes between two points of a curve
HELD_OUT = 16 * 1024  # bytes of each kind that nobody trains on
NATS_TO_BITS = 1 / math.log(2)


# The two texts

@dataclass
class Domain:
    """A text, and a held-out part of it."""

    name: str
    train: bytes
    held_out: bytes

    @classmethod
    def cut(cls, name: str, files: list[bytes]) -> Domain:
        """Holds out the end of every file, HELD_OUT bytes in all (a tenth of a short text)."""
        total = sum(map(len, files))
        share = min(0.1, HELD_OUT / max(total, 1))
        cuts = [len(data) - int(share * len(data)) for data in files]
        return cls(name, b"".join(data[:cut] for data, cut in zip(files, cuts)),
                   b"".join(data[cut:] for data, cut in zip(files, cuts)))


def licences(path: str | None) -> Domain:
    if path:
        return Domain.cut(pathlib.Path(path).name, [pathlib.Path(path).read_bytes()])
    files = sorted(p for p in pathlib.Path("/usr/share/common-licenses").iterdir()
                   if p.is_file() and not p.is_symlink())
    return Domain.cut("licences", [p.read_bytes() for p in files])


def sources(path: str | None, limit: int) -> Domain:
    if path:
        return Domain.cut(pathlib.Path(path).name, [pathlib.Path(path).read_bytes()])
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted(folder.glob("[a-z]*.py")) if 8_000 < p.stat().st_size < 60_000]
    order = np.random.default_rng(0).permutation(len(files))
    chosen, size = [], 0
    for index in order:
        chosen.append(files[index].read_bytes())
        size += len(chosen[-1])
        if size > limit:
            break
    return Domain.cut("Python", chosen)


# What a terminal shows

class Bar:
    """A progress bar; where there is no terminal, a line for every quarter."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.started, self.quarter = time.monotonic(), 0
        self.terminal = sys.stdout.isatty()

    def show(self, done: int, bits: float) -> None:
        part = done / self.total
        text = (f"   {self.label:<22} [{'█' * round(24 * part):<24}] {done:>7,}/{self.total:,} "
                f"{self.unit}  {bits:5.2f} bits per byte  {time.monotonic() - self.started:4.0f} s")
        if self.terminal:
            print("\r" + text, end="" if done < self.total else "\n", flush=True)
        elif int(4 * part) > self.quarter:
            self.quarter = int(4 * part)
            print(text, flush=True)


def spark(values: list[float]) -> str:
    """A row of bars, from 0 to the largest value."""
    top = max(values, default=0.0) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * value / top))] for value in values)


# The steps of the story

@dataclass
class Reading:
    """How one way of reading the stream went."""

    name: str
    curve: list[float] = field(default_factory=list)  # bits per byte of each piece
    moved: list[list[float]] = field(default_factory=list)  # per piece, each level's delta norm


def train(model: nested.Model, text: bytes, steps: int) -> None:
    trainer = nested.Trainer(
        model, lr=4e-3, seed=1,
        schedule={"type": "cosine", "warmup": min(50, steps // 5), "total": steps, "floor": 0.05})
    bar = Bar("training", steps, "steps")
    smooth: list[float] = []

    def show(progress: nested.Progress) -> None:
        if progress.done:
            smooth.append(progress.loss * NATS_TO_BITS)
            bar.show(progress.done, float(np.mean(smooth[-20:])))

    with trainer:
        trainer.fit(text, steps, BATCH, LENGTH, progress=show)


def stream(session: nested.Session, text: bytes, reading: Reading) -> Reading:
    """Reads the text once, piece by piece, as it would arrive."""
    bar = Bar(reading.name, len(text), "bytes")
    for start in range(0, len(text), PIECE):
        piece = text[start:start + PIECE]
        reading.curve.append(session.read(piece).loss * NATS_TO_BITS)
        reading.moved.append([level.delta_norm for level in session.levels])
        bar.show(start + len(piece), float(np.mean(reading.curve[-8:])))
    return reading


def fine_tune(model: nested.Model, text: bytes, reading: Reading) -> Reading:
    """The usual way: AdamW on all weights, the same bytes once, in the same order."""
    bar = Bar(reading.name, len(text), "bytes")
    with nested.Trainer(model, lr=1e-3, schedule={"type": "constant"}) as trainer:
        for start in range(0, len(text) - PIECE + 1, PIECE):
            rows = np.frombuffer(text[start:start + PIECE], np.uint8).reshape(-1, LENGTH)
            reading.curve.append(trainer.step(rows).loss * NATS_TO_BITS)
            bar.show(start + PIECE, float(np.mean(reading.curve[-8:])))
    if len(text) % PIECE:
        bar.show(len(text), float(np.mean(reading.curve[-8:])))
    return reading


def examine(session: nested.Session, text: bytes) -> float:
    """Bits per byte of a text; the session itself does not move and levels do not learn."""
    with session.fork() as probe:
        probe.learn = "memory"
        return probe.read(text).loss * NATS_TO_BITS


def passage(session: nested.Session, prompt: bytes, length: int = 240) -> str:
    with session.fork() as probe:
        probe.learn = "memory"
        probe.read(prompt)
        tokens = probe.generate(length, temperature=0.6, top_k=40)
    text = bytes(tokens.astype(np.uint8)).decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text)


def speed(model: nested.Model, text: bytes) -> tuple[float, float, float]:
    """Seconds per training step, per byte read with and without learning."""
    with model.clone() as trial, nested.Trainer(trial) as trainer:
        trainer.fit(text, 1, BATCH, LENGTH)
        started = time.monotonic()
        trainer.fit(text, 3, BATCH, LENGTH)
        step = (time.monotonic() - started) / 3
    seconds = []
    for mode in ("on", "memory"):
        with model.session(learn=mode) as session:
            session.read(text[:256])
            started = time.monotonic()
            session.read(text[256:256 + 2048])
            seconds.append((time.monotonic() - started) / 2048)
    return step, seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="file to train on (default: the licences)")
    parser.add_argument("--stream", help="file to go on with (default: Python's sources)")
    parser.add_argument("--seconds", type=float, default=120, help="time for everything")
    parser.add_argument("--steps", type=int, help="training steps, instead of by time")
    parser.add_argument("--bytes", type=int, help="bytes to stream, instead of by time")
    parser.add_argument("--picture", help="written where matplotlib is there (default: demo.png, "
                                          "in the folder build where there is one)")
    arguments = parser.parse_args()
    started = time.monotonic()

    model = nested.Model(CONFIG, seed=1)
    text = licences(arguments.text)
    per_step, per_byte, per_byte_frozen = speed(model, text.train)
    steps = arguments.steps or max(120, int(0.45 * arguments.seconds / per_step) // 20 * 20)
    wanted = arguments.bytes or int(
        0.35 * arguments.seconds
        / (per_byte + per_byte_frozen + per_step / (BATCH * LENGTH))) // PIECE * PIECE
    new = sources(arguments.stream, wanted + 2 * HELD_OUT)
    size = min(max(wanted, 16 * PIECE), len(new.train))
    flow = new.train[:size]

    print(f"\n1  A Hope model of {model.size / 1e6:.2f} M parameters learns: {text.name}, "
          f"{len(text.train):,} bytes\n")
    train(model, text.train, steps)

    print(f"\n2  Then {new.name} arrives: {size:,} bytes, each read once\n")
    plain = model.clone()
    session, frozen = model.session(learn="on", seed=1), model.session(learn="memory", seed=1)
    before = examine(session, text.held_out), examine(session, new.held_out)
    readings = [
        stream(session, flow, Reading("learning online")),
        stream(frozen, flow, Reading("frozen")),
        fine_tune(plain, flow, Reading("fine-tuned plainly")),
    ]

    print("\n3  Bits per byte of text that none of them has read (lower is better)\n")
    merged = nested.consolidate(model, [session], strength=0.5)
    results = [("frozen", frozen), ("session, learning online", session),
               ("half of it, consolidated", merged.session()),
               ("fine-tuned plainly", plain.session())]
    print(f"   {'':<26}{text.name:>18}{new.name:>18}")
    print(f"   {'before':<26}{before[0]:>10.2f}{'':<8}{before[1]:>10.2f}")
    table = []
    for name, candidate in results:
        after = examine(candidate, text.held_out), examine(candidate, new.held_out)
        table.append((name, *after))
        print(f"   {name:<26}" + "".join(
            f"{a:>10.2f} ({a - b:+.2f})" for a, b in zip(after, before)))
    print()
    for name, left, right in table:
        print(f"   {name}: {change(before[1] - right, 'learnt', 'unlearnt')} {new.name}, "
              f"{change(left - before[0], 'forgot', 'won')} {text.name}")
    print("   The model itself is untouched: a session can be reset, and others start from it.")

    print("\n4  Which levels moved, and when (distance from the trained weights, in time)\n")
    show_levels(model, session, readings[0])

    prompt = flow[-96:]
    print("\n5  The session goes on from where it is\n")
    print("   before: " + passage(fresh(model, prompt), b"").replace("\n", "\n   "))
    print("\n   after:  " + passage(session, b"").replace("\n", "\n   "))

    print(f"\n   {time.monotonic() - started:.0f} s; the same again: "
          f"--steps {steps} --bytes {size}")
    folder = pathlib.Path("build") if pathlib.Path("build").is_dir() else pathlib.Path()
    picture(arguments.picture or str(folder / "demo.png"), readings, before, table,
            (text.name, new.name))


def change(bits: float, more: str, less: str) -> str:
    return "no change on" if abs(bits) < 0.005 else (
        f"{more if bits > 0 else less} {abs(bits):.2f} bits per byte of")


def fresh(model: nested.Model, prompt: bytes) -> nested.Session:
    session = model.session(seed=1)
    session.read(prompt)
    return session


def show_levels(model: nested.Model, session: nested.Session, reading: Reading) -> None:
    levels = session.levels
    layers = 1 + max(level.layer for level in levels)
    columns = np.array_split(np.array(reading.moved), min(32, len(reading.moved)))
    for number in sorted({level.level for level in levels}):
        members = [i for i, level in enumerate(levels) if level.level == number]
        first = levels[members[0]]
        norm = math.sqrt(sum(levels[i].weight_norm ** 2 for i in members))
        path = [math.sqrt(float((part[-1][members] ** 2).sum())) for part in columns]
        when = f"every {first.chunk:,} bytes" if first.chunk else "never"
        updates = sum(levels[i].updates for i in members) // layers
        print(f"   level {number}  {when:<18} {updates:>6,}"
              f" updates  {100 * path[-1] / norm:5.1f} %  {spark(path) if first.chunk else ''}")


def picture(
    path: str, readings: list[Reading], before: tuple[float, float],
    table: list[tuple[str, float, float]], names: tuple[str, str],
) -> None:
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5))
    for reading in readings:
        smooth = np.convolve(reading.curve, np.ones(5) / 5, "valid")
        left.plot((np.arange(len(smooth)) + 5) * PIECE / 1024, smooth, label=reading.name)
    left.set(title="surprise while reading", xlabel="KB of the stream", ylabel="bits per byte")
    left.legend()
    position = np.arange(len(table) + 1)
    for shift, column, name in ((-0.2, 0, names[0]), (0.2, 1, names[1])):
        middle.bar(position + shift, [before[column]] + [row[1 + column] for row in table], 0.4,
                   label=name)
    middle.set(title="held-out text, after the stream", ylabel="bits per byte")
    labels = ["before"] + [row[0].replace(" plainly", "").replace(", ", ",\n") for row in table]
    middle.set_xticks(position, labels, fontsize=8)
    middle.set_ylim(0, 1.25 * max(middle.get_ylim()))
    middle.legend(loc="upper center", ncols=2)
    moved = np.array(readings[0].moved)
    levels = len(CONFIG["cms"]["levels"])  # type: ignore[call-overload, index, arg-type]
    for level in range(levels):
        distance = np.sqrt((moved[:, level::levels] ** 2).sum(1))
        right.plot((np.arange(len(distance)) + 1) * PIECE / 1024, distance, label=f"level {level}")
    right.set(title="how far each level has moved", xlabel="KB of the stream")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"   picture: {path}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
