"""Whatever the head is, its gradients are those of the dense loss, and no more of it is held than a chunk."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from fusion.decoder import split_model
from fusion.errors import FusionError
from fusion.lm_head import Head, Projection, learned_by
from fusion.objective import IGNORED, SparseTeacher, fusion_loss
from tests.fusion.tiny import ARCHITECTURES, tiny_model

N, D, V, K = 13, 6, 19, 3


class Adapted(nn.Module):
    """A frozen projection with a low-rank adapter, as peft puts it on lm_head."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(D, V, bias=False).requires_grad_(False)
        self.down, self.up = nn.Linear(D, 2, bias=False), nn.Linear(2, V, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.base(hidden) + self.up(self.down(hidden))
        return out


def _heads() -> dict[str, Callable[[], Head]]:
    def weight() -> Tensor:
        return torch.randn(V, D).requires_grad_()

    return {
        "projection": lambda: Projection(weight()),
        "scaled": lambda: Projection(weight(), scale=0.25),
        "soft-capped": lambda: Projection(weight(), softcap=2.0),
        "scaled and soft-capped": lambda: Projection(weight(), scale=0.5, softcap=3.0),
        "frozen": lambda: Projection(torch.randn(V, D)),
        "biased": lambda: nn.Linear(D, V),
        "adapted": Adapted,
        "two layers": lambda: nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, V)),
        "closure": lambda: (lambda w: lambda h: 2 * torch.tanh(linear(h, w)))(weight()),
        "identity": lambda: lambda h: linear(h, torch.eye(V, D)),
    }


HEADS = _heads()


def drawn(seed: int = 0) -> tuple[Tensor, Tensor, SparseTeacher]:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, D, generator=g).requires_grad_()
    labels = torch.randint(V, (N,), generator=g)
    labels[3] = IGNORED
    mass = torch.randn(N, K + 1, generator=g).softmax(-1)
    ids = torch.stack([torch.randperm(V, generator=g)[:K] for _ in range(N)])
    return hidden, labels, SparseTeacher(ids, mass[:, :K], mass[:, K], torch.rand(N, generator=g) > 0.3)


def dense_loss(logits: Tensor, labels: Tensor, teacher: SparseTeacher, weight: float) -> Tensor:
    """lambda CLM + (1 - lambda) fusion by definition, through automatic differentiation in float64."""
    valid = labels != IGNORED
    log_q = logits.double().log_softmax(-1)
    clm = cross_entropy(logits.double(), labels, ignore_index=IGNORED)
    outside = torch.ones_like(log_q, dtype=torch.bool).scatter(-1, teacher.ids, False)
    rest = log_q.masked_fill(~outside, -torch.inf).logsumexp(-1)
    taught = -(teacher.probabilities * log_q.gather(-1, teacher.ids)).sum(-1) - teacher.leftover * rest
    untaught = -log_q.gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    fusion = torch.where(teacher.kept, taught, untaught)[valid].mean()
    return weight * clm + (1 - weight) * fusion


def leaves(head: Head, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return sorted(
        learned_by(head, torch.zeros(0, D, dtype=dtype)), key=lambda t: (t.shape, float(t.detach().sum()))
    )


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("chunk", [4, N])
def test_gradients_are_those_of_the_dense_loss(name: str, chunk: int) -> None:
    torch.manual_seed(1)
    head = HEADS[name]()
    hidden, labels, teacher = drawn()
    learned = [hidden, *leaves(head)]
    expected = dense_loss(head(hidden), labels, teacher, 0.3)
    found = fusion_loss(hidden, head, labels, teacher, lm_loss_weight=0.3, chunk=chunk).total
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        list(torch.autograd.grad(found, learned)), list(torch.autograd.grad(expected, learned)),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_what_a_head_learns_is_found_in_any_callable() -> None:
    torch.manual_seed(1)
    assert [len(leaves(HEADS[n]())) for n in ("projection", "frozen", "biased", "adapted")] == [1, 0, 2, 2]
    assert len(leaves(HEADS["two layers"]())) == 4 and len(leaves(HEADS["closure"]())) == 1
    adapted = Adapted()
    assert {id(t) for t in leaves(adapted)} == {id(adapted.up.weight), id(adapted.down.weight)}


@pytest.mark.parametrize("name", ["projection", "soft-capped", "biased", "adapted"])
def test_frozen_hidden_states_leave_the_heads_gradients(name: str) -> None:
    torch.manual_seed(1)
    head = HEADS[name]()
    hidden, labels, teacher = drawn()
    learned = leaves(head)
    free, frozen = (
        fusion_loss(h, head, labels, teacher, lm_loss_weight=0.3).total for h in (hidden, hidden.detach())
    )
    torch.testing.assert_close(
        list(torch.autograd.grad(frozen, learned)), list(torch.autograd.grad(free, learned))
    )


def test_nothing_to_learn_is_no_gradient() -> None:
    hidden, labels, teacher = drawn()
    found = fusion_loss(hidden.detach(), HEADS["frozen"](), labels, teacher, lm_loss_weight=0.3)
    assert not found.total.requires_grad


@pytest.mark.parametrize("name", ["projection", "soft-capped", "biased", "adapted"])
def test_bfloat16_weights(name: str) -> None:
    """Against the dense loss on the same bfloat16 logits: 8 bits, so within 2 % of the largest gradient."""
    torch.manual_seed(1)
    hidden, labels, teacher = drawn()
    head = HEADS[name]()
    if isinstance(head, Projection):
        head = Projection(head.weight.detach().bfloat16().requires_grad_(), head.scale, head.softcap)
    else:
        head = head.bfloat16()  # type: ignore[attr-defined]
    hidden = hidden.detach().bfloat16().requires_grad_()
    _agree_roughly(head, hidden, labels, teacher)


@pytest.mark.parametrize("name", ["projection", "soft-capped", "biased", "adapted"])
def test_autocast_to_bfloat16(name: str) -> None:
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _agree_roughly(HEADS[name](), *drawn())


def _agree_roughly(head: Head, hidden: Tensor, labels: Tensor, teacher: SparseTeacher) -> None:
    learned = [hidden, *leaves(head, hidden.dtype)]
    logits = head(hidden)
    assert logits.dtype == torch.bfloat16
    expected = dense_loss(logits, labels, teacher, 0.3)
    found = fusion_loss(hidden, head, labels, teacher, lm_loss_weight=0.3, chunk=4).total
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    for ours, theirs, at in zip(
        torch.autograd.grad(found, learned), torch.autograd.grad(expected, learned), learned, strict=True
    ):
        assert ours.dtype == at.dtype
        assert float((ours - theirs).abs().max()) <= 0.02 * float(theirs.abs().max())


def test_training_in_float16_is_refused_and_evaluation_is_not() -> None:
    torch.manual_seed(1)
    hidden, labels, teacher = drawn()
    head = Projection(torch.randn(V, D).half())
    evaluated = fusion_loss(hidden.detach().half(), head, labels, teacher, lm_loss_weight=0.3).total
    assert evaluated.isfinite()
    with pytest.raises(FusionError, match="float16"):
        fusion_loss(hidden.detach().half().requires_grad_(), head, labels, teacher, lm_loss_weight=0.3)


@pytest.mark.parametrize("of", ["teacher", "labels"])
def test_tokens_beyond_the_logits_are_refused(of: str) -> None:
    hidden, labels, teacher = drawn()
    teacher.kept[:] = True
    (teacher.ids[:, 0] if of == "teacher" else labels)[5] = V
    with pytest.raises(FusionError, match=f"token {V} is to be learned, but .* {V} wide"):
        fusion_loss(hidden, HEADS["projection"](), labels, teacher, lm_loss_weight=0.3)


def test_low_precision_gradients_are_summed_in_float32() -> None:
    """1,025 rows of one gradient, 256 and up of which bfloat16 could not count one by one.

    Two tokens with equal logits: each row's gradient of the label's logit is -1/2, times hidden 1.
    """
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    hidden = torch.ones(1025, 1, dtype=torch.bfloat16)
    labels = torch.zeros(1025, dtype=torch.long)
    total = fusion_loss(
        hidden, Projection(weight), labels, None, lm_loss_weight=1.0, chunk=1, denominator=1.0
    ).total
    (gradient,) = torch.autograd.grad(total, weight)
    assert gradient.flatten().tolist() == pytest.approx([-512.5, 512.5], rel=2**-8)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", ["projection", "soft-capped", "biased"])
def test_no_tensor_is_as_large_as_all_logits(name: str, temperature: float) -> None:
    """Nothing larger than a chunk of logits [4, V], the hidden states or the head's weight is ever made."""
    hidden, labels, teacher = drawn()
    head = HEADS[name]()
    with Largest() as largest:
        total = fusion_loss(
            hidden, head, labels, teacher, lm_loss_weight=0.3, chunk=4, temperature=temperature
        ).total
        torch.autograd.backward(total)
    assert largest.elements == V * D > 4 * V  # against N x V


def test_a_frozen_heads_gradient_is_never_made() -> None:
    hidden, labels, teacher = drawn()
    head = HEADS["frozen"]()
    with Largest() as largest:
        torch.autograd.backward(fusion_loss(hidden, head, labels, teacher, lm_loss_weight=0.3, chunk=2).total)
    seen_only_as_a_view = V * D  # weight.T
    assert largest.elements == seen_only_as_a_view
    assert isinstance(head, Projection) and head.weight.grad is None


@settings(max_examples=60, derandomize=True)
@given(
    vocabulary=st.integers(2, 9),
    k=st.integers(1, 9),
    height=st.sampled_from([0.1, 1.0, 40.0, 1e4]),
    weight=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_any_row_has_the_gradient_of_its_definition(
    vocabulary: int, k: int, height: float, weight: float, seed: int
) -> None:
    """Logits themselves as hidden states, of any spread; the list may be all of the vocabulary but one."""
    k = min(k, vocabulary - 1)
    g = torch.Generator().manual_seed(seed)
    logits = (torch.randn(5, vocabulary, generator=g) * height).requires_grad_()
    ids = torch.stack([torch.randperm(vocabulary, generator=g)[:k] for _ in range(5)])
    mass = torch.randn(5, k + 1, generator=g).softmax(-1)
    teacher = SparseTeacher(ids, mass[:, :k], mass[:, k], torch.rand(5, generator=g) > 0.2)
    labels = torch.randint(vocabulary, (5,), generator=g)
    expected = dense_loss(logits, labels, teacher, weight)
    found = fusion_loss(logits, lambda h: h, labels, teacher, lm_loss_weight=weight, chunk=2).total
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    (ours,), (theirs,) = torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_models_head_is_found_and_learns_as_under_its_own_loss(architecture: str) -> None:
    """Tied, untied, soft-capped: all parameters get the gradients of transformers' own loss."""
    model = tiny_model(architecture)
    ids = torch.randint(96, (2, 12), generator=torch.Generator().manual_seed(3))
    own = model(input_ids=ids, labels=ids).loss
    learned = [p for p in model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(own, learned)
    decoder = split_model(model)
    assert isinstance(decoder.head, Projection)
    labels = torch.cat([ids[:, 1:], torch.full((2, 1), IGNORED)], 1).flatten()
    hidden = decoder.hidden(ids, torch.ones_like(ids)).flatten(0, 1)
    loss = fusion_loss(hidden, decoder.head, labels, None, lm_loss_weight=1.0, chunk=5).total
    torch.testing.assert_close(loss, own, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(list(torch.autograd.grad(loss, learned)), list(expected), rtol=1e-4, atol=1e-5)


def test_a_biased_or_hooked_head_is_more_than_a_projection() -> None:
    model = tiny_model("llama")
    model.lm_head = nn.Linear(32, 96)
    ids = torch.arange(8)[None]
    decoder = split_model(model)
    assert not isinstance(decoder.head, Projection)
    torch.testing.assert_close(
        decoder.head(decoder.hidden(ids, torch.ones_like(ids))), model(input_ids=ids).logits
    )
    hooked = tiny_model("llama")
    hooked.lm_head.register_forward_hook(lambda module, inputs, output: output + 1)
    assert not isinstance(split_model(hooked).head, Projection)
