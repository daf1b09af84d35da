"""Models on disk: what is written is read again, counts and fingerprints from files alone, clear refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion.errors import FusionError
from fusion.models import (
    convert_gguf,
    convert_pickle,
    count_parameters,
    load_model,
    load_tokenizer,
    pick_device,
    random_model,
    save_model,
    vocabulary_size,
    weights_fingerprint,
)
from tests.fusion.toy_tokenizers import byte_level


def make(folder: Path, model_type: str = "llama", seed: int = 0) -> Path:
    random_model(model_type, byte_level(), folder, seed=seed, hidden_size=32, layers=2, heads=4)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models") / "llama")


def same_weights(a: Any, b: Any) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# --- random models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "mpt", "gpt_neox", "gpt2", "qwen2", "gemma3_text"])
def test_random_models_of_common_architectures_load_and_read(tmp_path: Path, model_type: str) -> None:
    folder = make(tmp_path / model_type, model_type)
    model = load_model(folder)
    assert model.config.model_type == model_type
    assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, len(byte_level()))
    assert vocabulary_size(folder) == len(byte_level())
    assert count_parameters(folder) == sum(p.numel() for p in model.parameters())


def test_random_weights_are_their_seeds_and_leave_the_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = make(tmp_path / "a", seed=1), make(tmp_path / "b", seed=1), make(tmp_path / "c", seed=2)
    assert torch.equal(torch.rand(3), expected)
    assert weights_fingerprint(a) == weights_fingerprint(b) != weights_fingerprint(c)


def test_an_unknown_architecture_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="did you mean 'llama'"):
        make(tmp_path / "x", "lama")


# --- counts and fingerprints -----------------------------------------------------------------------------


def test_parameters_by_hand(llama: Path) -> None:
    """Llama: 2 V h (embedding, head) + layers (4 h^2 + 3 h i + 2 h) + h; V = 320, h = 32, i = 64."""
    v, h, i = len(byte_level()), 32, 64
    assert count_parameters(llama) == 2 * v * h + 2 * (4 * h * h + 3 * h * i + 2 * h) + h


def test_what_is_stored_beside_the_parameters_is_not_counted(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {
        "weight": torch.zeros(3, 5),
        "position_ids": torch.arange(7),
        "mask": torch.ones(2, dtype=torch.bool),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    assert count_parameters(tmp_path) == 15


def test_parameters_of_several_shards_are_added(llama: Path, tmp_path: Path) -> None:
    model = load_model(llama)
    model.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert count_parameters(tmp_path) == count_parameters(llama)


def test_the_fingerprint_is_of_the_weights_alone(llama: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(llama), load_tokenizer(llama)
    save_model(model, tokenizer, tmp_path / "copy")
    (tmp_path / "copy/notes.txt").write_text("not a weight")
    assert weights_fingerprint(tmp_path / "copy") == weights_fingerprint(llama)
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    save_model(model, tokenizer, tmp_path / "changed")
    assert weights_fingerprint(tmp_path / "changed") != weights_fingerprint(llama)


# --- loading and saving ----------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(llama: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(llama), load_tokenizer(llama)
    save_model(model, tokenizer, tmp_path / "copy")
    assert same_weights(load_model(tmp_path / "copy"), model)
    text = "The cat sat.\n\tdef f(): ä"
    assert load_tokenizer(tmp_path / "copy")(text).input_ids == tokenizer(text).input_ids
    assert {p.suffix for p in (tmp_path / "copy").iterdir()} <= {".safetensors", ".json", ".jinja"}


def test_models_load_for_evaluation_in_the_type_asked_for(llama: Path) -> None:
    model = load_model(llama, dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert not model.training


def test_pickled_weights_are_refused_with_the_way_to_convert_them(llama: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in llama.glob("*.json"):
        (pickled / path.name).write_bytes(path.read_bytes())
    torch.save(load_model(llama).state_dict(), pickled / "pytorch_model.bin")
    for refuse in (weights_fingerprint, count_parameters, load_model):
        with pytest.raises(FusionError, match=r"pickle \(pytorch_model\.bin\)") as caught:
            refuse(pickled)
        assert "convert_pickle" in caught.value.remedy
    convert_pickle(pickled, tmp_path / "converted")
    assert same_weights(load_model(tmp_path / "converted"), load_model(llama))


def test_pickled_code_is_not_run(llama: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for path in llama.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({"x": Trap(str(marker))}, tmp_path / "pytorch_model.bin")
    with pytest.raises(FusionError, match=r"cannot convert the \.bin weights"):
        convert_pickle(tmp_path, tmp_path / "out")
    assert not marker.exists()


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_missing_and_damaged_models_are_named(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="nowhere is not there"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(FusionError, match=r"holds no \*\.safetensors"):
        weights_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(FusionError, match="not a whole safetensors file"):
        count_parameters(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((llama / "model.safetensors").read_bytes())
    with pytest.raises(FusionError, match="cannot load the model"):
        load_model(tmp_path)
    with pytest.raises(FusionError, match="configuration"):
        vocabulary_size(tmp_path)


def test_a_folder_without_tokenizer_names_itself_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=tmp_path.name) as caught:
        load_tokenizer(tmp_path)
    assert "tokenizer.json" in caught.value.remedy


def test_a_slow_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        is_fast = False

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: Slow())
    with pytest.raises(FusionError, match="is Slow, which is not fast") as caught:
        load_tokenizer(tmp_path)
    assert "fast tokenizer" in caught.value.remedy


# --- GGUF ------------------------------------------------------------------------------------------------


def write_gguf(path: Path, *, exact: bool) -> dict[str, np.ndarray[Any, Any]]:
    """A one-layer Llama of 64 tokens in float32 GGUF; `exact`: with values that bfloat16 can hold."""
    import gguf

    hidden, inner, vocabulary, heads = 32, 64, 64, 4
    generator = np.random.default_rng(0)
    shapes = {
        "token_embd": (vocabulary, hidden),
        "output_norm": (hidden,),
        "output": (vocabulary, hidden),
        **{f"blk.0.attn_{n}": (hidden, hidden) for n in ("q", "k", "v", "output")},
        **{f"blk.0.{n}_norm": (hidden,) for n in ("attn", "ffn")},
        "blk.0.ffn_gate": (inner, hidden),
        "blk.0.ffn_up": (inner, hidden),
        "blk.0.ffn_down": (hidden, inner),
    }
    values = {
        n: generator.integers(-64, 64, s) / 64 if exact else generator.normal(size=s)
        for n, s in shapes.items()
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    _write_vocabulary(writer, vocabulary)
    for name, value in values.items():
        writer.add_tensor(f"{name}.weight", value.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def _write_vocabulary(writer: Any, size: int) -> None:
    writer.add_tokenizer_model("gpt2")
    letters = [chr(ord("A") + i) for i in range(size - 3)]
    writer.add_token_list(["<s>", "<|endoftext|>", *letters, "AB"])
    writer.add_token_types([3, 3, *[1] * (size - 2)])
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


@pytest.mark.parametrize(("exact", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_gguf_keeps_every_value_in_the_smallest_type_that_can(
    tmp_path: Path, exact: bool, dtype: torch.dtype
) -> None:
    (tmp_path / "in").mkdir()
    values = write_gguf(tmp_path / "in/m.gguf", exact=exact)
    convert_gguf(tmp_path / "in/m.gguf", tmp_path / "out")
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "out/model.safetensors")
    assert {t.dtype for t in stored.values()} == {dtype}
    embedding = stored["model.embed_tokens.weight"].float().numpy()
    np.testing.assert_array_equal(embedding, values["token_embd"].astype(np.float32))
    model = load_model(tmp_path / "out")
    assert getattr(model.config, "quantization_config", None) is None
    assert (model.generation_config.bos_token_id, model.generation_config.eos_token_id) == (0, 1)
    assert len(load_tokenizer(tmp_path / "out")) == 64


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF? no.")
    with pytest.raises(FusionError, match=r"cannot convert .*m\.gguf"):
        convert_gguf(tmp_path / "m.gguf", tmp_path / "out")


@pytest.mark.parametrize(("cuda", "expected"), [(True, "cuda"), (False, "cpu")])
def test_a_device_is_picked_only_where_none_is_named(
    cuda: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == expected
    assert pick_device("mps") == "mps"
