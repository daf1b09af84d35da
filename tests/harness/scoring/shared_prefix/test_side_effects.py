"""What scoring leaves as it was, and what it says: the model, its settings, memory, the stage's key."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from harness.scoring.gold import Gold, score_continuations
from harness.scoring.journal import request_key
from harness.scoring.shared_prefix.attention import Call, RowsLayout
from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.lm import SharedPrefixLM
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.packed_linear import PackedLinear, pack_linears, unpack_linears
from harness.scoring.shared_prefix.self_check import window_disagreement
from harness.scoring.shared_prefix.strategies import choose, rope_limit
from tests.harness.scoring.scoring_world import WORDS, write_model
from tests.harness.scoring.shared_prefix.models import CONFIGS, VOCABULARY, model_of

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ours(folder: Path) -> SharedPrefixLM:
    return SharedPrefixLM(pretrained=str(folder), device="cpu", dtype="float32", max_length=200)


def requests(kind: str, arguments: list[Any]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, a, 0, ("task", i, 1)) for i, a in enumerate(arguments)]


def longrope() -> Any:
    """As Phi-3-mini-128k: other rotary factors once a sequence is longer than it was trained."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "short_factor": [1.0] * 4,
        "long_factor": [3.0, 5.0, 7.0, 9.0],
        "original_max_position_embeddings": 64,
    }
    return hf.Phi3Config(
        **SIZES, max_position_embeddings=256, original_max_position_embeddings=64, rope_parameters=rope
    )


def dynamic() -> Any:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    return hf.LlamaConfig(**SIZES, max_position_embeddings=64, rope_parameters=rope)


def test_the_length_at_which_positions_change_is_known() -> None:
    assert rope_limit(longrope()) == 64
    assert rope_limit(dynamic()) == 64
    assert {name: rope_limit(CONFIGS[name]()) for name in ("llama", "gemma3_text", "gpt2")} == {
        "llama": None,
        "gemma3_text": None,
        "gpt2": None,
    }


@pytest.mark.parametrize("config", [longrope, dynamic])
def test_texts_longer_than_that_are_read_plainly(config: Any, folder: Path, tmp_path: Path) -> None:
    """They have other rotary factors for every token: keys cached for short texts are not right any more."""
    from lm_eval.models.huggingface import HFLM

    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    own = config()
    own.vocab_size = len(tokenizer)
    torch.manual_seed(7)
    hf.AutoModelForCausalLM.from_config(own, dtype=torch.float32).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    settings: dict[str, Any] = {"pretrained": str(tmp_path), "device": "cpu", "max_length": 200}
    ours, plain = SharedPrefixLM(**settings), HFLM(**settings)
    assert ours.chosen.strategy == "tree"
    long = " ".join(WORDS * 6)
    for contexts, told in ((["red", "red green"], False), (["red", long], True)):
        asked = requests("loglikelihood", [(c, f" {w}") for c in contexts for w in WORDS[:2]])
        expected = plain.loglikelihood(asked, disable_tqdm=True)
        assert [s for s, _ in ours.loglikelihood(asked, disable_tqdm=True)] == pytest.approx(
            [s for s, _ in expected], abs=1e-3
        )
        assert any("longer than 64 tokens" in sentence for sentence in ours.told) == told


def test_packed_weights_come_back_bit_by_bit() -> None:
    model = model_of("llama")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pack_linears(model)
    assert any(type(module) is PackedLinear for module in model.modules())
    unpack_linears(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("most", [0, -1])
def test_generation_of_no_tokens_ends(most: int) -> None:
    """lm-eval's own class raises ValueError; a row that counts down must not pass zero."""
    reader: Any = choose(model_of("llama"), "tree").reader
    heard: list[int] = []

    def stopped(text: Any) -> bool:
        heard.append(len(text))
        return len(heard) > 50

    try:
        generate(reader, [Prompt(np.arange(3, 9), most, stopped)], Capacity(16, 4, 4, 1, 99), lambda *_: None)
    except ValueError:
        return
    assert len(heard) <= 1


def test_a_model_given_as_an_object_keeps_its_weights(folder: Path) -> None:
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    before = set(model.state_dict())
    SharedPrefixLM(pretrained=model, tokenizer=tokenizer)
    assert set(model.state_dict()) == before


def test_lm_eval_is_told_the_true_number_of_parameters(ours: SharedPrefixLM, folder: Path) -> None:
    """simple_evaluate writes get_model_info() into its results."""
    true = hf.AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    assert ours.get_model_info()["model_num_parameters"] == true


def test_an_adapter_is_read_as_a_tree(folder: Path, tmp_path: Path) -> None:
    """Its layers look for the weights of those that they wrap, so these are not packed."""
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(hf.AutoModelForCausalLM.from_pretrained(folder), settings).save_pretrained(tmp_path)
    lm = SharedPrefixLM(pretrained=str(folder), peft=str(tmp_path), device="cpu", dtype="float32")
    assert (lm.chosen.strategy, lm.chosen.reason) == ("tree", "")


def test_a_misspelt_strategy_is_an_error(folder: Path) -> None:
    with pytest.raises(Exception, match="trees"):
        SharedPrefixLM(pretrained=str(folder), device="cpu", strategy="trees")  # type: ignore[arg-type]


def test_why_bloom_is_no_tree_is_told_truly() -> None:
    """It is on a list, only not on this one."""
    assert "not on the list of proven architectures" not in choose(model_of("bloom"), "tree").reason


def test_the_proof_past_a_window_holds_no_more_logits_than_scoring() -> None:
    """All rows of a context past Gemma-2's window of 4,096 would be 4 GB of logits."""
    model = model_of("mistral")
    reader: Any = choose(model, "tree").reader
    rows: list[int] = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _m, _i, out: rows.append(out.numel() // out.shape[-1]))
    window_disagreement(reader, 100)
    assert max(rows) <= 8  # answers and generated tokens, not the context


def test_a_model_is_let_go_of_once_nobody_holds_it(folder: Path) -> None:
    """No reference of its own keeps it, so that the next one is not loaded beside it."""
    lm = SharedPrefixLM(pretrained=str(folder), device="cpu", dtype="float32")
    lm.loglikelihood(requests("loglikelihood", [("red", " blue")]), disable_tqdm=True)
    gc.collect()
    gc.disable()
    try:
        held = weakref.ref(lm.model)
        del lm
        assert held() is None
    finally:
        gc.enable()


def test_one_unscorable_gold_does_not_take_the_others_with_it(ours: SharedPrefixLM) -> None:
    """A prompt of white space alone leaves no context to go on from."""
    alone = score_continuations(ours, [Gold("a", "red", " blue")])
    both = score_continuations(ours, [Gold("a", "red", " blue"), Gold("b", "\n", "blue")])
    assert alone[0] is not None
    assert both[0] == pytest.approx(alone[0])


def test_an_error_of_our_own_is_not_taken_for_a_server_without_log_probabilities(
    ours: SharedPrefixLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise AssertionError("an invariant does not hold")

    monkeypatch.setattr(ours, "_loglikelihood_tokens", broken)
    with pytest.raises(AssertionError):
        score_continuations(ours, [Gold("a", "red", " blue")])


def test_a_temperature_beside_do_sample_none_is_sampling() -> None:
    """As lm-eval's normalize_gen_kwargs reads it."""
    settings = {"do_sample": None, "temperature": 0.7}
    assert request_key("generate_until", ("x", settings)) is None


def test_rows_in_half_precision_do_not_overflow() -> None:
    """Products of 330,000 are no float16; torch's own attention scales before it multiplies."""
    torch.manual_seed(0)
    query, key = ((torch.randn(1, 4, n, 128) * 100).half() for n in (1, 5))
    value = torch.randn(1, 4, 5, 128).half()
    found = RowsLayout(torch.tensor([4]), 1, [], []).attend(Call(0, query, key, value, 128**-0.5, None, None))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert not expected.isnan().any()
    assert torch.allclose(found, expected, atol=1e-2)


def test_the_stages_key_knows_all_code_that_makes_logits() -> None:
    """`Decoder.logits` is `finished(...)` of fusion.lm_head: scale and soft cap."""
    from harness.pipeline.stage_code import modules_behind

    assert "fusion.lm_head" in modules_behind("harness.pipeline.steps.score_model")


def test_generation_by_the_parent_is_said(ours: SharedPrefixLM, caplog: pytest.LogCaptureFixture) -> None:
    """A model's own repetition penalty sends every generation to the parent."""
    ours.model.generation_config.repetition_penalty = 1.05
    try:
        asked = requests("generate_until", [(" ".join(WORDS), {"until": [], "max_gen_toks": 2})])
        ours.generate_until(asked, disable_tqdm=True)
    finally:
        ours.model.generation_config.repetition_penalty = None
    assert "repetition_penalty" in caplog.text + ours.chosen.reason


def test_batch_sizes_are_not_searched_where_they_do_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching would hold all logits of batches of 64 whole windows."""
    lm = SharedPrefixLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size="auto")
    searched: list[int] = []

    def search(*_: Any) -> int:
        searched.append(1)
        return 1

    monkeypatch.setattr(lm, "_detect_batch_size", search)
    lm.loglikelihood_rolling(requests("loglikelihood_rolling", [("red green",)]), disable_tqdm=True)
    assert not searched


def test_windows_of_a_text_are_read_together(ours: SharedPrefixLM) -> None:
    """Of equal texts one is read."""
    reader: Any = ours.chosen.reader
    text = " ".join(WORDS)
    before = reader.tokens_read
    ours.loglikelihood_rolling(requests("loglikelihood_rolling", [(text,)]), disable_tqdm=True)
    once = reader.tokens_read - before
    ours.loglikelihood_rolling(requests("loglikelihood_rolling", [(text,), (text,)]), disable_tqdm=True)
    assert reader.tokens_read - before - once == once
