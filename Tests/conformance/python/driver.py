"""The conformance driver in Python: runs a scenario through the package `nested`; the contract is ../README.md.

    driver.py SCENARIO [--threads N] [--feed SIZE]
"""

import argparse
import json
import locale
import math
import pathlib
import struct

import nested
import numpy as np
from nested import _run
from nested._library import lib

_run.Run.INTERVAL_MS = 0  # progress at every chunk: "cancel_at" counts them


def hash_of(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"#{value:016x}"


def bits(value):
    return "nan" if math.isnan(value) else f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"


def floats(array):
    array = np.ascontiguousarray(array, np.float32).reshape(-1)
    wide = array.astype(np.float64)
    total, squares = (np.cumsum(v)[-1] for v in (wide, wide * wide))  # cumsum adds from first to last
    return array.size, hash_of(array.tobytes()), float(total), float(squares)


class Driver:
    """One method for each kind of step."""

    def __init__(self, vocab, threads, feed):
        self.vocab, self.feed_size = vocab, feed
        self.context = nested.Context(threads=threads)
        self.objects = {}

    def run(self, step):
        self.id = step["id"]
        if step.get("as") in self.objects:
            self.objects.pop(step["as"]).close()
        try:
            result = getattr(self, "do_" + step["step"])(step)
        except nested.Error as failure:
            print(self.id, "error", failure.status, failure.place or "-", flush=True)
            return
        if "as" in step:
            self.objects[step["as"]] = result
        if isinstance(result, nested.Model):
            self.line("params", result.size)
        if step["step"] == "model":
            print(self.id, "fingerprint", f"#{result.fingerprint:016x}")
        if step["step"] == "snapshot":
            self.line_bytes("bytes", result.to_bytes())

    def line(self, field, *values):
        print(self.id, field, *(
            bits(v) if isinstance(v, float) else int(v) if isinstance(v, bool) else v for v in values))

    def line_bytes(self, field, data):
        self.line(field, len(data), hash_of(data))

    def line_step(self, field, s):
        self.line(field, s.applied, s.step, s.loss, s.gradient_norm, s.update_norm, s.learning_rate, s.targets)

    # Arguments

    def of(self, step):
        return self.objects[step["of"]]

    def generated(self, seed, count):
        state, previous, tokens = seed, 0, np.empty(count, np.int32)
        for i in range(count):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            r = state >> 33
            previous = ((previous * 5 + 3) if r % 4 else (r >> 2)) % self.vocab
            tokens[i] = previous
        return tokens

    def tokens(self, step):
        spec = step["tokens"]
        return self.generated(**spec) if isinstance(spec, dict) else np.array(spec, np.int32)

    def vectors(self, spec, number):
        """Vectors around the centres of their classes, and what is to be predicted from them."""
        rows, length, width = spec["rows"], spec["length"], spec["inputs"]
        shape = (rows, length) if spec.get("positions") else (rows,)
        classes = spec.get("first", 0) + np.arange(np.prod(shape)) % spec["classes"]
        each, j = np.repeat(classes, rows * length // classes.size)[:, None], np.arange(width)
        state, noise = spec["seed"] + number, np.empty(each.size * width)
        for i in range(noise.size):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            noise[i] = ((state >> 33) % 2049 - 1024) / 4096
        inputs = ((each * 7 + j * 5 + each * j * 3) % 9 - 4) / 4 + noise.reshape(each.size, width)
        result = {"inputs": inputs.astype(np.float32).reshape(rows, length, width)}
        if outputs := spec.get("outputs"):
            values = ((classes[:, None] * 5 + np.arange(outputs) * 3) % 7 - 3) / 2
            values.flat[4::5] = np.nan
            result["labels"] = values.astype(np.float32).reshape(*shape, outputs)
        else:
            result["labels"] = classes.astype(np.int32).reshape(shape)
        if spec.get("weights"):
            result["weights"] = (np.arange(classes.size) % 4 * 0.25).astype(np.float32).reshape(shape)
        return result

    def batch(self, step, number=0):
        spec = step["batch"]
        if "inputs" in spec:
            return self.vectors(spec, number)
        shape = spec["rows"], spec["length"]
        tokens = self.generated(spec["seed"] + number, shape[0] * shape[1])
        index = np.arange(tokens.size)
        more = {}
        if spec.get("targets"):
            more["targets"] = np.where(index % 5 == 4, nested.IGNORE, np.roll(tokens, -1)).reshape(shape)
        if spec.get("weights"):
            more["weights"] = (index % 4 * 0.25).astype(np.float32).reshape(shape)
        return {"tokens": tokens.reshape(shape), **more}

    def countdown(self, step):
        left = step.get("cancel_at", 0)

        def called(progress):
            nonlocal left
            left -= 1
            return left == 0

        return {"progress": called} if left else {}

    # Models and trainers

    def do_model(self, step):
        return nested.Model(step["config"], step["seed"], context=self.context)

    def do_clone(self, step):
        return self.of(step).clone()

    def do_weights(self, step):
        self.line("weights", *floats(self.of(step).parameters))

    def do_scale(self, step):
        tensors, name = self.of(step).tensors, step["tensor"]
        tensors[name] = tensors[name] * np.float32(step["factor"])
        self.line("tensor", *floats(tensors[name]))

    def do_evaluate(self, step, result=None):
        result = result or self.of(step).evaluate(**self.batch(step))
        self.line("loss", result.loss)
        self.line("targets", result.targets)
        if "inputs" in step["batch"] and step["step"] != "accumulate":
            self.line("accuracy", result.accuracy)

    def do_forward(self, step):
        self.line("logits", *floats(self.of(step).forward(**self.inputs(step))))

    def inputs(self, step):
        """A batch without what is to be predicted."""
        return {key: value for key, value in self.batch(step).items() if key in ("tokens", "inputs")}

    def do_trainer(self, step):
        return nested.Trainer(self.of(step), **step["options"])

    def do_train(self, step):
        for k in range(step["steps"]):
            self.line_step(f"step.{k}", self.of(step).step(**self.batch(step, k)))

    def do_accumulate(self, step):
        self.do_evaluate(step, self.of(step).accumulate(**self.batch(step)))

    def do_gradient(self, step):
        gradient, targets = self.of(step).flat_gradient()
        self.line("gradient", *floats(gradient))
        self.line("targets", targets)

    def do_exchange(self, step):
        pair = [self.objects[name] for name in step["of"]]
        (first, m), (second, n) = (trainer.flat_gradient() for trainer in pair)
        for trainer in pair:
            trainer.set_flat_gradient(first + second, m + n)

    def do_apply(self, step):
        self.line_step("step", self.of(step).apply())

    def do_zero(self, step):
        self.of(step).zero()

    def do_fit(self, step):
        fit = self.of(step).fit(
            self.tokens(step), step["steps"], step["rows"], step["length"], **self.countdown(step))
        self.line("steps", fit.steps)
        self.line("skipped", fit.skipped)
        self.line("loss", fit.mean_loss, fit.last_loss)

    # Sessions

    def do_session(self, step):
        return self.of(step).session(step["learn"], step["seed"])

    def do_learn(self, step):
        self.of(step).learn = step["mode"]

    def do_feed(self, step):
        tokens = self.tokens(step)
        size = self.feed_size or tokens.size
        pieces = [self.of(step).feed(tokens[at:at + size]) for at in range(0, tokens.size, size)]
        self.line("logits", *floats(np.concatenate(pieces)))

    def do_feed_vectors(self, step):
        inputs = self.batch(step)["inputs"][:, 0]
        size = self.feed_size or len(inputs)
        pieces = [self.of(step).feed(inputs=inputs[at:at + size]) for at in range(0, len(inputs), size)]
        self.line("outputs", *floats(np.concatenate(pieces)))

    def do_teach(self, step):
        self.do_evaluate(step, self.of(step).teach(**self.batch(step)))

    def do_predict(self, step):
        self.line("answers", *floats(self.of(step).predict(**self.inputs(step))))

    def do_read(self, step):
        fed = self.of(step).read(self.tokens(step), **self.countdown(step))
        self.line("read", fed.consumed, fed.loss, fed.updates)

    def do_info(self, step):
        session = self.of(step)
        self.line("session", session.position, session.updates, session.skipped)

    def do_output(self, step):
        self.line("logits", *floats(self.of(step).output))

    def do_score(self, step):
        self.line("logprobs", *floats(self.of(step).score(self.tokens(step))))

    def do_generate(self, step):
        session, logprobs, cancel = self.of(step), [], nested.Cancel()

        def called(token, logprob):
            logprobs.append(logprob)
            if len(logprobs) == step.get("cancel_at"):
                cancel.raise_()
            return len(logprobs) == step.get("stop_at")

        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window", "stop")
        with cancel:
            tokens = session.generate(
                step["count"], on_token=called, cancel=cancel,
                **{name: step[name] for name in names if name in step})
        self.line("tokens", *tokens)
        self.line("logprobs", *logprobs)
        self.line("finish", session.finish)

    def do_feed_many(self, step):
        sessions = [self.objects[name] for name in step["of"]]
        rounds = self.tokens(step).reshape(-1, len(sessions))
        self.line("logits", *floats(np.concatenate([nested.feed_many(sessions, row) for row in rounds])))

    def do_levels(self, step):
        for v in self.of(step).levels:
            last, following = (-1 if p is None else p for p in (v.last_update, v.next_update))
            self.line(
                f"level.{v.layer}.{v.level}", v.chunk, v.frozen, last, following, v.updates, v.skipped,
                v.parameters, v.learning_rate, v.weight_norm, v.delta_norm, v.last_gradient_norm,
                v.last_update_norm, v.pending_norm)

    def where(self, step):
        return (None if step[key] == -1 else step[key] for key in ("layer", "level"))

    def do_control(self, step):
        session = self.of(step)
        if "scale" in step:
            session.scale_learning_rate(step["scale"], *self.where(step))
        else:
            (session.freeze if step["freeze"] else session.thaw)(*self.where(step))

    def do_flush(self, step):
        self.of(step).flush(*self.where(step))

    def do_forget(self, step):
        self.of(step).reset_levels(*self.where(step))

    # Snapshots, files, consolidation

    def do_snapshot(self, step):
        return self.of(step).snapshot()

    def do_delta(self, step):
        self.line_bytes("bytes", self.of(step).to_bytes(delta=True))

    def do_reread(self, step):
        data = self.objects[step["snapshot"]].to_bytes(delta=step.get("delta", False))
        return nested.Snapshot.from_bytes(self.of(step), data)

    def do_restore(self, step):
        self.of(step).restore(self.objects[step["snapshot"]])

    def do_fork(self, step):
        return self.of(step).fork()

    def do_reset(self, step):
        self.of(step).reset()

    def do_save(self, step):
        more = {"delta": True} if step.get("delta") else {}
        self.of(step).save(step["file"], sync=False, **more)
        self.line_bytes("file", pathlib.Path(step["file"]).read_bytes())

    def do_load_model(self, step):
        return nested.load(step["file"], context=self.context)

    def do_load_trainer(self, step):
        self.of(step).load(step["file"])

    def do_load_session(self, step):
        return self.of(step).restore(step["file"])

    def do_consolidate(self, step):
        options = {key: step[key] for key in ("weights", "levels", "strength", "max_norm") if key in step}
        return nested.consolidate(self.of(step), [self.objects[name] for name in step["sessions"]], **options)

    def do_stack(self, step):
        return self.of(step).stack(step.get("cms"), step.get("pretrained", 0), step.get("seed", 0))

    def do_release(self, step):
        for name in step["of"]:
            self.objects.pop(name).close()


def main():
    locale.setlocale(locale.LC_ALL, "")
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--feed", type=int, default=0)
    arguments = parser.parse_args()
    scenario = json.loads(arguments.scenario.read_bytes())
    print("# python, decimal point", locale.localeconv()["decimal_point"])
    driver = Driver(scenario["vocab"], arguments.threads, arguments.feed)
    for step in scenario["steps"]:
        driver.run(step)
    for thing in (*driver.objects.values(), driver.context):
        thing.close()
    print("end handles", lib.nested_live_handles(0))


if __name__ == "__main__":
    main()
