"""Files with the `safetensors` package: what one writes, the other reads. float32; other types are the importer's."""

import comparison
import numpy as np
import pytest
from comparison import nested
from safetensors import deserialize, safe_open
from safetensors.numpy import load_file, save, save_file

KINDS = {
    "hope": {"memory": {"memory_chunk": 4, "projection_chunk": 4},
             "cms": {"levels": [{"chunk": 4, "hidden": 8}, {"chunk": 0, "hidden": 8}]}},
    "retnet": {}, "titans": {}, "gated-deltanet": {}, "transformer": {"d_ff": 24},
}
TOKENS = comparison.tokens(1, 20)[0]


def small(kind):
    return nested.Model(comparison.config(kind, 16, 2, **KINDS[kind]), seed=3)


def metadata(path):
    """What is said beside the tensors."""
    with safe_open(path, "np") as file:
        return file.metadata()


def without_checksum(path):
    """For other values; and for sessions and trainers, whose checksum is of the bytes in their order, which the package changes."""
    said = metadata(path)
    assert said.pop("nested.checksum")
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_ours_and_ours_reads_it(kind, tmp_path):
    model = small(kind)
    model.save(tmp_path / "ours.safetensors")
    tensors = load_file(tmp_path / "ours.safetensors")
    assert set(tensors) == set(model.tensors)
    for name, value in tensors.items():
        assert value.dtype == np.float32 and np.array_equal(value, model.tensors[name])
    # Written by the package: another order of tensors and of the header's keys, another padding.
    theirs = tmp_path / "theirs.safetensors"
    save_file({name: tensors[name] for name in sorted(tensors, reverse=True)}, theirs,
              dict(reversed(metadata(tmp_path / "ours.safetensors").items())))
    again = nested.load(theirs)
    assert again.config == model.config
    assert np.array_equal(again.forward(TOKENS), model.forward(TOKENS))
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "ours.safetensors").read_bytes()


def test_bytes_are_files(tmp_path):
    model = small("transformer")
    for name, part in deserialize(model.to_bytes()):
        value = model.tensors[name]
        assert part["dtype"] == "F32" and tuple(part["shape"]) == value.shape
        assert bytes(part["data"]) == value.tobytes()
    changed = {name: model.tensors[name] * np.float32(0.5) for name in model.tensors}
    model.save(tmp_path / "model.safetensors")
    again = nested.Model.from_bytes(save(changed, without_checksum(tmp_path / "model.safetensors")))
    assert all(np.array_equal(again.tensors[name], value) for name, value in changed.items())


def test_what_lacks_a_tensor_or_a_shape_is_refused(tmp_path):
    model = small("transformer")
    model.save(tmp_path / "ours.safetensors")
    tensors, said = load_file(tmp_path / "ours.safetensors"), metadata(tmp_path / "ours.safetensors")
    turned = {**tensors, "head.weight": np.ascontiguousarray(tensors["head.weight"].T)}
    missing = {name: value for name, value in tensors.items() if name != "head.weight"}
    for wrong, words in ((turned, "head.weight"), (missing, "11 tensors, its configuration has 12")):
        with pytest.raises(nested.Error, match=words):
            nested.Model.from_bytes(save(wrong, said))


def test_sessions_and_trainers_are_files_of_the_same_kind(tmp_path):
    model = small("hope")
    session = model.session(learn="on")
    session.read(TOKENS)
    session.save(tmp_path / "session.safetensors")
    with nested.Trainer(model) as trainer:
        trainer.step(TOKENS)
        trainer.save(tmp_path / "trainer.safetensors")
    for name in ("session", "trainer"):
        file = tmp_path / f"{name}.safetensors"
        copy = tmp_path / f"{name}.copy"
        save_file(load_file(file), copy, without_checksum(file))
        if name == "session":
            assert np.array_equal(model.restore(copy).feed(TOKENS), model.restore(file).feed(TOKENS))
        else:
            with nested.Trainer(model) as trainer:
                trainer.load(copy)
                trainer.save(tmp_path / "trainer.again")
            assert (tmp_path / "trainer.again").read_bytes() == file.read_bytes()
