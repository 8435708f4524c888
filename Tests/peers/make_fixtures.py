"""Writes fixtures/ anew. test_current.py says whether that would change anything.

    make test-peers FIXTURES=1

Small files: weights, tokens, and the logits and gradients of the peer in torch and float64, stored as float32.
"""

import json

import comparison
import llama
import optimizers
import test_retnet
import test_titans


def makers():
    for module in (test_retnet, test_titans):
        for name in module.FIXED:
            yield name, module.CASES[name]


def main():
    comparison.FIXTURES.mkdir(exist_ok=True)
    for name, make in makers():
        comparison.save(make(), comparison.FIXTURES / f"{name}.safetensors")
    (comparison.FIXTURES / "optimizers.json").write_text(json.dumps(optimizers.fixture()) + "\n")
    llama.main()
    for path in sorted(path for path in comparison.FIXTURES.rglob("*") if path.is_file()):
        print(f"{path.relative_to(comparison.FIXTURES)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
