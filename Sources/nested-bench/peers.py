"""libnested beside nested-learning 0.2.0 (PyTorch), the implementation of Hope that a user would pick instead.

Both do the same kind of work on the same tokens in turn, A B A B, in one process; the median of the rounds counts, and
the ratio is that of the medians.  The peer runs with as many threads as suit it best.  `make bench PEERS=1` runs this
in a virtual environment of its own.  What is compared, and where the two differ, is in README.md here.
"""

import argparse
import os
import pathlib
import re
import statistics
import time

import numpy as np
import torch
from nested_learning.levels import LevelSpec
from nested_learning.model import HOPEModel, ModelConfig
from nested_learning.training import _compute_layer_teach_signals, compute_teach_signal

import nested

CHUNK = 64  # tokens between two updates of the fastest level, on both sides
SIZES = {"hope-1m": dict(dim=108, num_layers=3), "hope-10m": dict(dim=300, num_layers=4)}


class Peer:
    """nested-learning's self-modifying Titans with two levels, driven as its own training loop drives it."""

    def __init__(self, dim, num_layers):
        torch.manual_seed(0)
        levels = [LevelSpec("fast", CHUNK), LevelSpec("slow", 1024)]
        self.model = HOPEModel(ModelConfig(
            vocab_size=256, dim=dim, num_layers=num_layers, heads=4, titan_level=LevelSpec("titan", 16),
            cms_levels=levels, block_variant="hope_selfmod", self_mod_chunk_size=16, self_mod_chunk_size_memory=16,
            qk_l2_norm=True))
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.state = self.model.init_fast_state()

    def train(self, tokens):
        """One row with online updates: per chunk forward, backward, and a pass that writes; then one step."""
        state = self.model.init_fast_state()
        self.optimizer.zero_grad()
        tokens = torch.from_numpy(tokens).long()[None]
        for start in range(0, tokens.shape[1], CHUNK):
            chunk = tokens[:, start : start + CHUNK]
            logits, _, outputs = self.model.forward_with_block_outputs(chunk, fast_state=state)
            loss = torch.nn.functional.cross_entropy(logits[0, :-1], chunk[0, 1:])
            signals = _compute_layer_teach_signals(loss, outputs)
            loss.backward()
            with torch.no_grad():
                self.model(chunk, teach_signals=signals, fast_state=state, finalize_updates=start + CHUNK >= len(tokens[0]))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def read(self, tokens):
        """A stream that is learnt from: per chunk a pass that predicts and one that writes."""
        tokens = torch.from_numpy(tokens).long()[None]
        with torch.no_grad():
            for start in range(0, tokens.shape[1], CHUNK):
                chunk = tokens[:, start : start + CHUNK]
                logits = self.model(chunk, fast_state=self.state)
                signal = compute_teach_signal(self.model, logits, chunk)
                self.model(chunk, teach_signal=signal, fast_state=self.state)

    def decode(self, tokens):
        """Token by token; nothing is written."""
        with torch.no_grad():
            for token in tokens:
                self.model(torch.tensor([[int(token)]]), fast_state=self.state)


class Ours:
    def __init__(self, preset):
        self.model = nested.Model({"preset": preset})
        self.parameters = sum(t.size for t in self.model.tensors.values())
        self.trainer = nested.Trainer(self.model)
        self.learning, self.remembering = self.model.session(learn="on"), self.model.session(learn="memory")

    def train(self, tokens):
        self.trainer.step(tokens[None])

    def read(self, tokens):
        self.learning.read(tokens)

    def decode(self, tokens):
        for token in tokens:
            self.remembering.read([token])


def seconds(work, tokens):
    start = time.perf_counter()
    work(tokens)
    return time.perf_counter() - start


def fastest_threads(work, tokens):
    """On small matrices torch is often faster on one thread than on all, and always when the machine is shared."""
    times = {}
    for threads in {1, os.cpu_count() or 1}:
        torch.set_num_threads(threads)
        work(tokens)
        times[threads] = seconds(work, tokens)
    best = min(times, key=times.get)
    torch.set_num_threads(best)
    return best


def compare(preset, rounds, text):
    ours, peer = Ours(preset), Peer(**SIZES[preset])
    print(f"{preset}: {ours.parameters:,} parameters beside {peer.parameters:,}", flush=True)
    large = preset != "hope-1m"
    for name, count in (("train", 64 if large else 256), ("read", 64 if large else 256), ("decode", 8 if large else 16)):
        threads = fastest_threads(getattr(peer, name), text[:count])
        pieces = [text[i * count : (i + 1) * count] for i in range(rounds + 1)]
        times = {"ours": [], "peer": []}
        for i, piece in enumerate(pieces):
            # Ours is so much faster that one piece is too short to time.
            repeats = 8
            a = sum(seconds(getattr(ours, name), piece) for _ in range(repeats)) / repeats
            b = seconds(getattr(peer, name), piece)
            if i > 0:  # the first round warms up
                times["ours"].append(count / a)
                times["peer"].append(count / b)
        yield name, count, threads, times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", default="hope-1m,hope-10m")
    parser.add_argument("--output", help="folder that receives PEERS.md")
    options = parser.parse_args()
    licence = pathlib.Path("/usr/share/common-licenses/GPL-3")
    text = np.frombuffer(licence.read_bytes(), np.uint8).astype(np.int32)
    cpu = re.search("model name\\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    lines = [
        f"# libnested {nested.__version__} beside nested-learning 0.2.0 on torch {torch.__version__}", "",
        f"Machine: {cpu[1] if cpu else 'unknown'}, {os.cpu_count()} cores. Tokens per second, median (range) of "
        f"{options.rounds} rounds in turn. README.md here says what is compared.", "",
        "| model | work | libnested | nested-learning | its threads | ratio |", "|---|---|---|---|---|---|"]
    for preset in options.models.split(","):
        for name, count, threads, times in compare(preset, options.rounds, text):
            cells = [f"{statistics.median(t):,.0f} ({min(t):,.0f}–{max(t):,.0f})" for t in times.values()]
            ratio = statistics.median(times["ours"]) / statistics.median(times["peer"])
            lines.append(f"| {preset} | {name}, {count} tokens | {cells[0]} | {cells[1]} | {threads} | {ratio:,.0f} |")
            print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    print(table)
    if options.output:
        (pathlib.Path(options.output) / "PEERS.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
