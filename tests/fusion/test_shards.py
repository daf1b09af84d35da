"""A store gives back what was written, whatever its shards; an incomplete one is named, never read."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.distributions import Distributions
from fusion.errors import FusionError
from fusion.shards import DistributionStore, StoreWriter, store
from fusion.tokens import Encoding

LENGTHS = (4, 0, 1, 7, 2, 12, 3)


def random_block(
    lengths: tuple[int, ...] = LENGTHS, *, k: int = 3, width: int = 300, seed: int = 0
) -> Distributions:
    """Windows of the given numbers of tokens with values that half precision holds."""
    draw = np.random.default_rng(seed)
    encodings = [
        Encoding(
            draw.integers(0, width, n).astype(np.int32),
            np.cumsum(draw.integers(0, 9, n)).astype(np.int32),
            bool(draw.integers(2)),
        )
        for n in lengths
    ]
    closed = draw.integers(0, 2, len(lengths)).astype(bool).tolist()
    out = Distributions.create(encodings, closed, k=k, vocabulary_size=width)
    out.ids[:] = draw.integers(0, width, out.ids.shape)
    out.logprobs[:] = -draw.random(out.logprobs.shape)
    out.leftover[:] = draw.random(len(out.leftover))
    out.gold_logprob[:] = -draw.random(len(out.leftover)).astype(np.float16)
    return out


def assert_same(found: Distributions, expected: Distributions) -> None:
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), array, err_msg=name)
        assert getattr(found, name).dtype == array.dtype, name


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=9),
    shard_rows=st.integers(1, 60),
    ends=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    seed=st.integers(0, 99),
)
def test_shards_of_any_size_decode_to_the_same_blocks(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    shard_rows: int,
    ends: tuple[int, int],
    seed: int,
) -> None:
    whole = random_block(tuple(lengths), seed=seed)
    start, stop = sorted(min(e, len(lengths)) for e in ends)
    found = store(tmp_path_factory.mktemp("s"), whole, vocabulary_size=300, shard_rows=shard_rows)
    assert_same(found.block(start, stop), whole.part(start, stop))
    assert_same(found.block(0, len(lengths)), whole)


def test_a_folder_without_store_says_so_and_what_to_name(tmp_path: Path) -> None:
    for folder, said in ((tmp_path, "holds no stored distributions"), (tmp_path / "none", "no such folder")):
        with pytest.raises(FusionError, match=said) as caught:
            DistributionStore.load(folder)
        assert "extract_to" in caught.value.remedy and str(folder) in str(caught.value)


def test_a_store_knows_its_corpus(tmp_path: Path) -> None:
    whole = random_block()
    store(tmp_path, whole, vocabulary_size=300, shard_rows=10)
    found = DistributionStore.load(tmp_path)
    assert (found.top_k, found.vocabulary_size, found.rows_count) == (
        3,
        300,
        sum(max(n - 1, 0) for n in LENGTHS),
    )
    for name in ("windows", "token_offsets", "closed", "exact"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert found.shards[0][0] == 0 and found.shards[-1][1] == len(LENGTHS) and len(found.shards) > 1


@pytest.mark.parametrize("rows", [1, 5, 12, 1000])
def test_blocks_cover_the_corpus_in_order_and_keep_to_their_size(tmp_path: Path, rows: int) -> None:
    found = store(tmp_path, random_block(), vocabulary_size=300)
    ranges = list(found.blocks(rows))
    assert [w for start, stop in ranges for w in range(start, stop)] == list(range(len(LENGTHS)))
    sizes = [int(found.windows[stop] - found.windows[start]) for start, stop in ranges]
    assert all(size <= rows or stop - start == 1 for size, (start, stop) in zip(sizes, ranges, strict=True))


@pytest.mark.parametrize("width", [300, 65_536, 262_144])
def test_a_row_takes_44_bytes_and_its_token_3_whatever_the_width(tmp_path: Path, width: int) -> None:
    """k = 10: 10 x (2 + 2) + 2 + 2. Ids of 262,144 tokens need 3 bytes, but not 65,536 of them are used."""
    block = random_block((400,) * 5, k=10, width=width)
    block.ids[:] %= 5000
    block.input_ids[:] %= 5000
    found = store(tmp_path, block, vocabulary_size=width)
    rows, tokens = found.rows_count, int(found.token_offsets[-1])
    shard = next(tmp_path.glob("shard-*"))
    sizes = {p.stem: p.stat().st_size - 128 for p in shard.glob("*.npy")}
    assert sum(sizes[n] for n in ("codes", "logprobs", "leftover", "gold_logprob")) == 44 * rows
    assert sizes["input_codes"] + sizes["lengths"] == 3 * tokens
    assert sizes["vocabulary"] <= 4 * 5000


def many_ids(windows: int, k: int = 40) -> Distributions:
    """Windows of 2,000 rows, each row with its own k tokens: 80,000 distinct ids in a window of k = 40."""
    block = random_block((2001,) * windows, k=k, width=200_000)
    block.ids[:] = np.arange(block.ids.size).reshape(block.ids.shape) % 200_000
    return block


def test_a_shard_with_too_many_tokens_for_codes_is_cut_by_windows(tmp_path: Path) -> None:
    """At k = 20 a window has 40,000 ids plus at most 2,001 read: two do not fit one shard of 65,536."""
    whole = many_ids(4, k=20)
    found = store(tmp_path, whole, vocabulary_size=200_000)
    assert found.shards == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert all((p / "codes.npy").exists() for p in tmp_path.glob("shard-*"))
    assert_same(found.block(0, 4), whole)


def test_a_window_with_too_many_tokens_keeps_its_ids(tmp_path: Path) -> None:
    whole = many_ids(2)
    found = store(tmp_path, whole, vocabulary_size=200_000)
    assert len(found.shards) == 2 and len(list(tmp_path.glob("shard-*/ids.npy"))) == 2
    assert_same(found.block(0, 2), whole)


def test_the_layout_is_read_with_numpy_alone(tmp_path: Path) -> None:
    whole = random_block((5, 4))
    store(tmp_path, whole, vocabulary_size=300)
    shard = tmp_path / "shard-00000000-00000002"
    files = {p.stem: np.load(p, mmap_mode="r") for p in shard.glob("*.npy")}
    np.testing.assert_array_equal(files["vocabulary"][files["codes"]], whole.ids)
    np.testing.assert_array_equal(files["vocabulary"][files["input_codes"]], whole.input_ids)
    np.testing.assert_array_equal(np.cumsum(files["lengths"][:5]), whole.ends[:5])
    assert json.loads((tmp_path / "store.json").read_text())["shards"] == [[0, 2]]


def test_tokens_of_many_bytes_widen_their_lengths(tmp_path: Path) -> None:
    whole = random_block((3, 2))
    whole.ends[:] = [1, 301, 302, 0, 70_000]
    found = store(tmp_path, whole, vocabulary_size=300)
    assert found.block(0, 2).ends.tolist() == whole.ends.tolist()


def test_ends_that_decrease_are_an_error(tmp_path: Path) -> None:
    whole = random_block((3,))
    whole.ends[:] = [3, 2, 4]
    with pytest.raises(FusionError, match="decrease"):
        store(tmp_path, whole, vocabulary_size=300)


def test_impossible_tokens_stay_finite(tmp_path: Path) -> None:
    """A log-probability of -100,000 is below half precision's least number, -65,504."""
    whole = random_block((3,))
    whole.gold_logprob[:] = -100_000
    assert store(tmp_path, whole, vocabulary_size=300).block(0, 1).gold_logprob.tolist() == [-65_504] * 2


# --- writing goes on where it stopped


def writer_of(folder: Path, whole: Distributions, *, k: int = 3, origin: str = "a") -> StoreWriter:
    encodings = [whole.encoding(w) for w in range(len(whole.closed))]
    return StoreWriter(folder, encodings, whole.closed.tolist(), k=k, vocabulary_size=300, origin=origin)


def test_windows_are_put_in_any_order(tmp_path: Path) -> None:
    whole = random_block()
    writer = writer_of(tmp_path, whole)
    for start, stop in writer.missing(9):
        block = writer.block(start, stop)
        for window in reversed(range(stop - start)):
            rows, place = whole.rows(start + window), block.rows(window)
            block.ids[place], block.logprobs[place] = whole.ids[rows], whole.logprobs[rows]
            block.leftover[place], block.gold_logprob[place] = whole.leftover[rows], whole.gold_logprob[rows]
        writer.write(start, block)
    assert_same(writer.close().block(0, len(LENGTHS)), whole)


def written(folder: Path, whole: Distributions, first: int) -> None:
    """The first few shards of a store that was then killed."""
    writer = writer_of(folder, whole)
    for start, stop in writer.missing(6)[:first]:
        writer.write(start, whole.part(start, stop))


def test_whole_shards_are_kept_and_the_gaps_are_missing(tmp_path: Path) -> None:
    whole = random_block()
    written(tmp_path, whole, 2)
    again = writer_of(tmp_path, whole)
    assert again.windows_done == again.shards[-1][1] > 0
    assert again.missing()[0][0] == again.windows_done
    for start, stop in again.missing(1):  # another size of shard is no matter
        again.write(start, whole.part(start, stop))
    assert_same(again.close().block(0, len(LENGTHS)), whole)


@pytest.mark.parametrize("change", ["tokens", "k", "model", "closed", "ends"])
def test_shards_of_another_extraction_are_not_kept(tmp_path: Path, change: str) -> None:
    whole = random_block()
    written(tmp_path, whole, 9)
    other = random_block()
    if change == "tokens":
        other.input_ids[0] += 1
    if change == "closed":
        other.closed[0] ^= True
    if change == "ends":
        other.ends[-1] += 1
    again = writer_of(tmp_path, other, k=2 if change == "k" else 3, origin="b" if change == "model" else "a")
    assert again.missing() != [] and again.windows_done < len(LENGTHS)


def test_a_shard_cut_short_is_written_again(tmp_path: Path) -> None:
    whole = random_block()
    written(tmp_path, whole, 2)
    file = sorted(tmp_path.glob("shard-*/logprobs.npy"))[0]
    file.write_bytes(file.read_bytes()[:-1])
    assert writer_of(tmp_path, whole).missing(6)[0][0] == 0


def test_an_unfinished_store_is_not_opened(tmp_path: Path) -> None:
    whole = random_block()
    written(tmp_path, whole, 2)
    with pytest.raises(FusionError, match=r"store\.json: missing, so the store is incomplete"):
        DistributionStore.load(tmp_path)
    with pytest.raises(FusionError, match="were not written"):
        writer_of(tmp_path, whole).close()


def test_no_windows_at_all(tmp_path: Path) -> None:
    found = writer_of(tmp_path, random_block(())).close()
    assert found.rows_count == 0 and list(found.blocks()) == []
    assert found.block(0, 0).ids.shape == (0, 3)


# --- what is not whole


def stored(folder: Path) -> Path:
    """A store's only shard."""
    store(folder, random_block(), vocabulary_size=300)
    return folder / f"shard-00000000-{len(LENGTHS):08d}"


@pytest.mark.parametrize("name", ["codes", "vocabulary", "logprobs", "leftover", "gold_logprob", "lengths"])
def test_missing_and_truncated_files_are_named(tmp_path: Path, name: str) -> None:
    file = stored(tmp_path) / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(FusionError, match=rf"{name}\.npy: not a complete array") as caught:
        DistributionStore.load(tmp_path)
    assert "again" in caught.value.remedy
    file.unlink()
    with pytest.raises(FusionError, match=rf"{'codes|ids' if name == 'codes' else name}\.npy: missing"):
        DistributionStore.load(tmp_path)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    np.save(stored(tmp_path) / "leftover.npy", np.zeros(3))
    with pytest.raises(FusionError, match=r"leftover\.npy: is float64 \(3,\), not f2"):
        DistributionStore.load(tmp_path)
    np.save(tmp_path / "closed.npy", np.zeros(3))
    with pytest.raises(FusionError, match=r"closed\.npy: is float64"):
        DistributionStore.load(tmp_path)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ("{", "not readable"),
        ("[]", "not a description"),
        ('{"format": "other"}', "not a description"),
        ({"version": 99}, "format version 99"),
        ({"shards": [[0, 1]]}, "do not cover"),
        ({"shards": 5}, "not readable"),
    ],
)
def test_a_foreign_description_is_refused(
    tmp_path: Path, facts: str | dict[str, object], problem: str
) -> None:
    stored(tmp_path)
    path = tmp_path / "store.json"
    path.write_text(facts if isinstance(facts, str) else json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(FusionError, match=problem):
        DistributionStore.load(tmp_path)


def test_codes_beyond_the_vocabulary_are_an_error(tmp_path: Path) -> None:
    np.save(stored(tmp_path) / "vocabulary.npy", np.arange(2, dtype=np.int32))
    with pytest.raises(FusionError, match="codes that are not in vocabulary"):
        DistributionStore.load(tmp_path).block(0, len(LENGTHS))


def test_windows_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(FusionError, match="windows 0 to 99 of a store of 7"):
        DistributionStore.load(tmp_path).block(0, 99)
