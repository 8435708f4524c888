"""LlamaForCausalLM of transformers, larger than what fixtures/llama has, and made anew each time: imported, compared, given
levels, taught. And the safetensors package, which writes what this library reads in other types."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("NESTED_LIBRARY", str(ROOT / "build" / "lib" / "libnested.so.1"))  # before the package is imported
sys.path[:0] = [str(ROOT / "bindings" / "python"), str(pathlib.Path(__file__).resolve().parent)]

import llama  # noqa: E402
import nested  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from safetensors.torch import save_file as save_torch  # noqa: E402

LARGE = {
    "vocab_size": 256, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4,
    "max_position_embeddings": 2048,
}
CASES = {
    "tied": ({"tie_word_embeddings": True}, {}),
    "grouped, float16": ({"num_key_value_heads": 2, "rms_norm_eps": 1e-5}, {"dtype": torch.float16}),
    "one head of keys, sharded": (
        {"num_key_value_heads": 1, "num_attention_heads": 8, "tie_word_embeddings": True}, {"shard": "400KB"}),
    "llama3, bfloat16": (
        {"num_key_value_heads": 2, "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}},
        {"dtype": torch.bfloat16}),
    "llama3 of 3.2, sharded": (
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}},
        {"shard": "1MB", "dtype": torch.bfloat16}),
    "linear": ({"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}}, {}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A checkpoint and what transformers computes with it."""
    settings, how = CASES[request.param]
    folder = tmp_path_factory.mktemp("llama")
    return folder, llama.save(folder, {**LARGE, **settings}, length=300, least=1e-4, **how)


def test_logits_are_those_of_transformers(case):
    folder, expected = case
    model = nested.Model.from_transformers(folder)
    assert model.config["kind"] == "transformer"
    got, want = np.asarray(model.forward(expected["tokens"])), expected["logits"].numpy()
    assert np.abs(got - want).max() / np.abs(want).max() < 1e-4


def test_greedy_text_is_that_of_transformers(case):
    folder, expected = case
    session = nested.Model.from_transformers(folder).session()
    last, text = session.feed(expected["tokens"][:expected["prompt"]]), []
    for _ in range(llama.GREEDY):
        text.append(int(np.argmax(np.atleast_2d(last)[-1])))
        last = session.feed(text[-1:])
    assert text == expected["greedy"]


def test_it_goes_on_learning(case):
    folder, expected = case
    plain = nested.Model.from_transformers(folder)
    resting = plain.stack({"levels": [{"chunk": 16, "lr": 0}, {"chunk": 64, "lr": 0}]})
    tokens = expected["tokens"]
    assert np.array_equal(resting.forward(tokens), plain.forward(tokens))
    still, session = plain.session(), resting.session(learn="on")
    assert np.array_equal(session.feed(tokens), still.feed(tokens)) and session.updates > 0
    text = b"What a model has learnt before it is saved is not all that it will ever know. " * 12
    learning = plain.stack({"levels": [{"chunk": 16, "lr": 0.02}, {"chunk": 64, "lr": 0.02}]}).session(learn="on")
    first = learning.read(text).loss
    for _ in range(3):
        last = learning.read(text).loss
    unmoved = plain.session()
    for _ in range(4):
        standing = unmoved.read(text).loss
    assert last < 0.5 * first and last < 0.5 * standing, (first, last, standing)


def test_the_package_reads_an_import(case, tmp_path):
    folder, _ = case
    model = nested.Model.from_transformers(folder)
    model.save(tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    assert set(tensors) == set(model.tensors)
    assert all(np.array_equal(tensors[name], model.tensors[name]) for name in tensors)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_package_writes_what_is_read(dtype, tmp_path):
    """A model file that another program has rewritten in another type, with the metadata as they were."""
    model = nested.Model({"kind": "transformer", "vocab": 23, "d_model": 32, "n_layers": 2}, seed=5)
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    model.save(ours)
    with safe_open(ours, "pt") as file:
        said = file.metadata()
        tensors = {name: file.get_tensor(name).to(dtype) for name in file.keys()}
    save_torch(tensors, theirs, said)
    again = nested.load(theirs)
    assert again.config == model.config
    for name, value in tensors.items():
        assert np.array_equal(again.tensors[name], value.float().numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numpy_writes_what_is_read(dtype, tmp_path):
    model = nested.Model({"kind": "transformer", "vocab": 23, "d_model": 32, "n_layers": 2}, seed=6)
    model.save(tmp_path / "ours.safetensors")
    with safe_open(tmp_path / "ours.safetensors", "np") as file:
        said = file.metadata()
    tensors = {name: value.astype(dtype) for name, value in load_file(tmp_path / "ours.safetensors").items()}
    save_file(tensors, tmp_path / "theirs.safetensors", said)
    again = nested.load(tmp_path / "theirs.safetensors")
    assert all(np.array_equal(again.tensors[name], value.astype(np.float32)) for name, value in tensors.items())


def test_a_damaged_file_of_ours_is_still_found(tmp_path):
    model = nested.Model({"kind": "transformer", "vocab": 23, "d_model": 32, "n_layers": 2}, seed=7)
    model.save(tmp_path / "model.safetensors")
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-8] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(nested.Error, match="checksum"):
        nested.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("case", ["tied"], indirect=True)  # nothing of it depends on the checkpoint
@pytest.mark.parametrize("key, value, words", [
    ("hidden_act", "gelu", "gelu"), ("attention_bias", True, "biases"), ("num_hidden_layers", 5, "lacks a tensor"),
    ("architectures", ["OPTForCausalLM"], "OPTForCausalLM"), ("intermediate_size", 343, "343"),
    ("rope_parameters", {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}, "yarn")])
def test_what_differs_is_refused(case, key, value, words, tmp_path):
    folder, _ = case
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(nested.Error, match=words):
        nested.Model.from_transformers(tmp_path)
