"""Checkpoints of transformers (../peers/fixtures/llama), and one of bytes, on their way to a model that learns."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_cli import ROOT, cli, error, lines

LLAMA = ROOT / "Tests" / "peers" / "fixtures" / "llama"


@pytest.fixture
def work(tmp_path):
    shutil.copytree(LLAMA / "llama3", tmp_path / "llama")
    return tmp_path


def bytes_checkpoint(folder):
    """A random model of bytes, as transformers would have saved it in float16."""
    width, hidden, vocab, random = 16, 24, 256, np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (vocab, width), "model.norm.weight": (width,)}
    for name, shape in {
            "input_layernorm": (width,), "post_attention_layernorm": (width,), "mlp.gate_proj": (hidden, width),
            "mlp.up_proj": (hidden, width), "mlp.down_proj": (width, hidden),
            **{f"self_attn.{part}_proj": (width, width) for part in "qkvo"}}.items():
        shapes[f"model.layers.0.{name}.weight"] = shape
    folder.mkdir()
    save_file({
        name: (np.ones(shape) if len(shape) == 1 else random.normal(0, shape[-1] ** -0.5, shape)).astype(np.float16)
        for name, shape in shapes.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "vocab_size": vocab, "hidden_size": width,
        "intermediate_size": hidden, "num_hidden_layers": 1, "num_attention_heads": 2, "tie_word_embeddings": True}))


def test_a_checkpoint_becomes_a_model(work):
    out, _ = cli("import", "llama/", "model.safetensors", "--json", cwd=work)
    assert lines(out) == [{
        "event": "saved", "model": "model.safetensors", "from": "llama/", "parameters": 4944, "vocab": 32, "n_levels": 0}]
    info = lines(cli("info", "model.safetensors", "--json", cwd=work)[0])[0]
    assert info["kind"] == "transformer" and info["vocab"] == 32
    assert info["config"]["rope_scaling"]["type"] == "llama3"
    said = error("score", "model.safetensors", "llama/config.json", cwd=work, status=65)
    assert "vocabulary of 32" in said and "token ids" in said


def test_a_model_of_bytes_learns_what_it_reads(work):
    bytes_checkpoint(work / "bytes")
    cli("import", "bytes", "model.safetensors", cwd=work)
    cli("stack", "model.safetensors", "resting.safetensors", "--cms", '{"levels": [{"chunk": 16, "lr": 0}]}', cwd=work)
    out, _ = cli("stack", "model.safetensors", "stacked.safetensors", "--levels", "16,64", "--json", cwd=work)
    assert lines(out)[0]["n_levels"] == 2
    (work / "text").write_bytes(b"learning goes on after training. " * 60)

    def score(model):
        return lines(cli("score", model, "text", "--json", cwd=work)[0])[0]["bits_per_byte"]
    assert score("resting.safetensors") == score("model.safetensors") == score("stacked.safetensors")
    for model in ("resting", "stacked"):
        cli("learn", f"{model}.safetensors", "text", "-s", f"{model}.session", cwd=work)
    learnt = [
        lines(cli("score", f"{model}.safetensors", "text", "-s", f"{model}.session", "--json", cwd=work)[0])[0]["bits_per_byte"]
        for model in ("resting", "stacked")]
    assert learnt[1] < 0.95 * learnt[0], learnt


def test_what_cannot_be_imported_says_why(work):
    def refused(*arguments, status=65):
        said = error(*arguments, cwd=work, status=status)
        assert not pathlib.Path(work / "out").exists()
        return said
    config = work / "llama" / "config.json"
    right = config.read_text()
    for old, new, words in (
            ('"silu"', '"gelu"', ("gelu", "/hidden_act")),
            ('"LlamaForCausalLM"', '"GPT2LMHeadModel"', ("GPT2LMHeadModel", "only LlamaForCausalLM")),
            ('"vocab_size": 32', '"vocab_size": 33', ("[33, 16]", "model.embed_tokens.weight")),
            ("{", "{,", ("config.json", "at byte 2"))):
        config.write_text(right.replace(old, new, 1))
        assert all(word in refused("import", "llama", "out") for word in words), words
    config.write_text(right)
    assert "llama/model.safetensors.index.json" not in refused("import", "nowhere", "out", status=66)
    (work / "llama" / "model.safetensors").unlink()
    assert "llama: " in refused("import", "llama", "out", status=66)


def test_what_cannot_be_stacked_says_why(work):
    cli("import", "llama", "model.safetensors", cwd=work)
    cli("stack", "model.safetensors", "stacked.safetensors", cwd=work)
    for arguments, status, word in (
            (("stacked.safetensors",), 65, "kind transformer"), (("model.safetensors", "--pretrained", "1"), 64, "level 1"),
            (("model.safetensors", "--levels", "16,24"), 65, "/cms/levels/1/chunk"),
            (("model.safetensors", "--cms", '{"mlp":"gelu"}'), 65, "swiglu"),
            (("model.safetensors", "--cms", "{"), 65, "not JSON")):
        assert word in error("stack", arguments[0], "out", *arguments[1:], cwd=work, status=status), arguments
    assert b"--force" in cli("stack", "model.safetensors", "stacked.safetensors", cwd=work, status=73)[1].encode()
