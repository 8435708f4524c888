#!/usr/bin/env python3
"""Random LlamaForCausalLM checkpoints, saved by transformers, with its logits and greedy tokens.

    python3 Tests/peers/llama.py        # renews fixtures/llama; needs torch and transformers

`make test` imports the small ones of fixtures/llama (Tests/NestedTrainingTests/ImportTests.swift); test_llama.py makes
larger ones with `save`.
"""

import json
import pathlib

import torch
import transformers

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures" / "llama"
GREEDY = 200
SMALL = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 512,
}
# Of the frequencies of these small heads some stay, some are blended, some divided.
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 48,
}
CASES = {
    "tied": ({"tie_word_embeddings": True}, {}),
    "grouped": ({"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}, {}),
    "llama3": ({"num_key_value_heads": 1, "rope_parameters": LLAMA3}, {"dtype": torch.bfloat16}),
    "linear": ({"rope_parameters": {"rope_type": "linear", "rope_theta": 500000.0, "factor": 2.5}}, {"dtype": torch.float16}),
    "sharded": ({"tie_word_embeddings": True, "num_key_value_heads": 1}, {"shard": "8KB", "dtype": torch.bfloat16}),
}


def model(seed, **settings):
    """Weights that make every part matter: 0.02, the usual deviation, leaves attention almost uniform."""
    # No token ends a generation.
    config = transformers.LlamaConfig(bos_token_id=None, eos_token_id=None, pad_token_id=None, **settings)
    made = transformers.LlamaForCausalLM(config).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            if weight.ndim == 1:
                weight.copy_(1 + 0.2 * noise)
            else:
                weight.copy_(noise if "embed" in name else 1.5 * noise / weight.shape[1] ** 0.5)
    return made


def greedy(made, prompt, count):
    """Tokens, and the smallest lead of the best over the second, relative to the largest logit."""
    tokens, lead, past = [], 1.0, None
    step = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(count):
            out = made(step, past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1]
            best = logits.topk(2)
            lead = min(lead, float((best.values[0] - best.values[1]) / logits.abs().max()))
            tokens.append(int(best.indices[0]))
            step = best.indices[:1][None]
    return tokens, lead


def save(folder, settings, shard="50GB", dtype=torch.float32, length=24, least=1e-3):
    """Writes the checkpoint and returns what transformers computes with it in float32. Seeds whose greedy tokens hang on
    the last digits are passed over."""
    for seed in range(100):
        rounded = model(seed, **settings)  # its weights alone: to(dtype) would round the rotary frequencies too
        with torch.no_grad():
            for weight in rounded.parameters():
                weight.copy_(weight.to(dtype))
        tokens = torch.randint(settings["vocab_size"], (length,), generator=torch.Generator().manual_seed(seed)).tolist()
        continuation, lead = greedy(rounded, tokens[:8], GREEDY)
        if lead > least and len(set(continuation)) > 8:
            break
    else:
        raise SystemExit(f"{folder}: no seed has greedy tokens that are sure")
    with torch.no_grad():
        logits = rounded(torch.tensor([tokens])).logits[0]
    rounded.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (pathlib.Path(folder) / "generation_config.json").unlink(missing_ok=True)
    return {"tokens": tokens, "logits": logits, "prompt": 8, "greedy": continuation}


def main():
    for name, (settings, how) in CASES.items():
        folder = FIXTURES / name
        for old in folder.glob("*"):
            old.unlink()
        result = save(folder, {**SMALL, **settings}, **how)
        result["logits"] = [float(f"{x:.8g}") for x in result["logits"].flatten().tolist()]
        (folder / "expected.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
