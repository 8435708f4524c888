"""What the peers said, from fixtures/, without the peers."""

import comparison
import pytest

FILES = sorted(comparison.FIXTURES.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_library_agrees_with_what_a_peer_computed(path):
    comparison.check(comparison.load(path))


def test_every_peer_has_a_fixture():
    peers = {path.stem.rsplit("-", 2 if "titans" in path.stem else 1)[0] for path in FILES}
    assert peers == {"titans-pytorch", "torchscale", "yet-another-retnet"}
