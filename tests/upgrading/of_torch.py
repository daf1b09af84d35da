"""What is assumed of torch and tokenizers."""

import json
from typing import Any

from tests.upgrading.assumption import assumes


@assumes(
    "torch",
    "nn.Module._forward_hooks, nn.Module._forward_pre_hooks",
    used_in="fusion.decoder",
    spelled="_forward_hooks _forward_pre_hooks",
    assumed="empty unless a hook was registered",
    why="hooks can be added and removed, but not listed",
    breaks="hooks on a model's head are ignored in training, or the loss always takes the slower path",
)
def hooks_of_a_module() -> None:
    from torch import nn

    module = nn.Linear(2, 2)
    assert not module._forward_hooks
    assert not module._forward_pre_hooks
    module.register_forward_hook(lambda *_: None)
    module.register_forward_pre_hook(lambda *_: None)
    assert module._forward_hooks
    assert module._forward_pre_hooks


@assumes(
    "torch",
    "ops.mkldnn._reorder_linear_weight, ops.mkldnn._linear_pointwise",
    used_in="harness.scoring.shared_prefix.packed_linear",
    spelled="_reorder_linear_weight _linear_pointwise",
    assumed="`_reorder_linear_weight(weight, rows)` lays a float32 weight out for oneDNN, `to_dense` gives "
    "it back bit by bit, `_linear_pointwise(x, packed, bias, 'none', [], '')` is the linear layer",
    why="`torch.utils.mkldnn` converts every input and output; `torch.compile` compiles each model anew",
    breaks="scoring on CPUs takes up to three times as long; nothing says so",
)
def linear_layers_of_onednn() -> None:
    import torch
    from torch import nn

    from harness.scoring.shared_prefix.packed_linear import PackedLinear, pack_linears, packable

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for bias in (True, False):
        linear, x = nn.Linear(24, 40, bias=bias), torch.randn(3, 5, 24)
        with torch.inference_mode():
            packed = PackedLinear(linear)
            assert torch.allclose(packed(x), linear(x), atol=1e-5)
            assert torch.equal(packed.unpacked().weight, linear.weight)
    model = _WithEmbeddings()
    assert packable(model)
    pack_linears(model)
    assert type(model.head) is PackedLinear


class _WithEmbeddings:
    """The least of a transformers model that `packable` and `pack_linears` look at."""

    def __new__(cls) -> Any:
        from torch import nn

        model: Any = nn.Module()
        model.embeddings, model.head = nn.Embedding(7, 8), nn.Linear(8, 7)
        model.get_input_embeddings = lambda: model.embeddings
        return model


@assumes(
    "torch",
    "grad_fn.next_functions, AccumulateGrad.variable",
    used_in="fusion.lm_head",
    spelled="next_functions variable",
    assumed="the graph of a result, whose leaves name the tensors that gradients go to",
    why="no public function gives the tensors that a callable reads",
    breaks="a head with adapters or a bias learns nothing",
)
def leaves_of_a_graph() -> None:
    import torch

    from fusion.lm_head import learned_by

    weight, bias = torch.randn(3, 2, requires_grad=True), torch.randn(3, requires_grad=True)
    found = learned_by(lambda hidden: hidden @ weight.T + bias, torch.randn(4, 2))
    assert {id(tensor) for tensor in found} == {id(weight), id(bias)}


@assumes(
    "tokenizers",
    "Tokenizer.to_str",
    used_in="fusion.tokens fusion.token_bytes",
    spelled="to_str added_tokens vocab pre_tokenizer normalizer decoder",
    assumed="the layout of tokenizer.json: `model` (`type`, `vocab`, `unk_token`, `byte_fallback`, "
    "`continuing_subword_prefix`), `added_tokens` (`id`, `content`, `special`), and `normalizer`, "
    "`pre_tokenizer`, `decoder` with `type` and their own settings, alone or in a sequence",
    why="objects do not tell their settings",
    breaks="tokens get other bytes: alignments and vocabulary maps are wrong, or the tokenizer is refused",
)
def layout_of_a_description() -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    fallback = {f"<0x{byte:02X}>": 1 + byte for byte in range(256)}
    tokenizer = Tokenizer(
        models.BPE(vocab={"<unk>": 0, **fallback}, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", "_")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("_", " "), decoders.ByteFallback()])
    tokenizer.add_special_tokens(["<s>"])
    told = json.loads(tokenizer.to_str())
    model = told["model"]
    assert (model["type"], model["unk_token"], model["byte_fallback"]) == ("BPE", "<unk>", True)
    assert model["vocab"]["<0x0A>"] == 11
    assert [(a["id"], a["content"], a["special"]) for a in told["added_tokens"]] == [(257, "<s>", True)]
    replace = told["normalizer"]["normalizers"][1]
    assert (replace["type"], replace["pattern"], replace["content"]) == ("Replace", {"String": " "}, "_")
    assert (told["pre_tokenizer"]["type"], told["pre_tokenizer"]["replacement"]) == ("Metaspace", "_")
    assert [part["type"] for part in told["decoder"]["decoders"]] == ["Replace", "ByteFallback"]


@assumes(
    "tokenizers",
    "layout of WordPiece, Unigram and Split",
    used_in="fusion.tokens fusion.token_bytes",
    spelled="continuing_subword_prefix WordPiece vocab Removed",
    assumed="as above: WordPiece's prefix, Unigram's `vocab` as a list of (piece, score), `behavior` of a "
    "Split, `pretokenizers` of a sequence",
    why="as above",
    breaks="as above, for these families",
)
def layout_of_other_families() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    word_piece = Tokenizer(models.WordPiece({"[UNK]": 0, "##a": 1}, unk_token="[UNK]"))
    first = pre_tokenizers.Split(" ", "removed")
    word_piece.pre_tokenizer = pre_tokenizers.Sequence([first, pre_tokenizers.ByteLevel()])
    told = json.loads(word_piece.to_str())
    assert (told["model"]["type"], told["model"]["continuing_subword_prefix"]) == ("WordPiece", "##")
    parts = told["pre_tokenizer"]["pretokenizers"]
    assert [(part["type"], part.get("behavior")) for part in parts] == [
        ("Split", "Removed"),
        ("ByteLevel", None),
    ]
    unigram = json.loads(Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.5)], unk_id=0)).to_str())
    assert unigram["model"]["vocab"] == [["<unk>", 0.0], ["a", -1.5]]


@assumes(
    "tokenizers",
    "Tokenizer.encode_special_tokens, Tokenizer.encode_batch_fast",
    used_in="fusion.vocabulary",
    spelled="encode_special_tokens encode_batch_fast",
    assumed="with the first True, the spelling of a special token in a text is text; the second gives the "
    "ids of `encode_batch`, without offsets",
    why="public names without documentation; a call of the tokenizer takes twice as long",
    breaks="vocabulary maps take the spelling of a special token for the token",
)
def special_tokens_as_text() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>"])
    special, texts = tokenizer.token_to_id("<s>"), ["a<s>", "b"]
    assert special in tokenizer.encode_batch_fast(texts, add_special_tokens=False)[0].ids
    tokenizer.encode_special_tokens = True
    found = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    assert found == [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    assert found == [[alphabet[letter] for letter in text] for text in texts]
