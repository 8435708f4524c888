"""`make test` runs what needs no peer; `make test-peers` sets NESTED_PEERS and runs everything, a missing peer being an error."""

import os

WITHOUT_PEERS = {"test_fixtures.py", "test_deltanet.py", "test_files.py"}


def pytest_ignore_collect(collection_path):
    if "NESTED_PEERS" not in os.environ and collection_path.name.startswith("test_"):
        return collection_path.name not in WITHOUT_PEERS
    return None


if "NESTED_PEERS" in os.environ:
    import torch
    torch.set_num_threads(1)  # small matrices, which more threads only slow down
