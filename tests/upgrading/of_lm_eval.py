"""What is assumed of lm-eval."""

import inspect
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.upgrading.assumption import assumes

ROWS = [{"q": f"q{i}", "a": f"a{i}"} for i in range(3)]


def _data(**_: Any) -> Any:
    from datasets import Dataset

    examples = [{"q": f"t{i}", "a": "x"} for i in range(5)]
    return {"test": Dataset.from_list(ROWS), "train": Dataset.from_list(examples)}


def _judge(doc: Any, results: Any) -> dict[str, float]:
    return {"acc": float(results[0] == doc["q"])}


def _task(filters: tuple[str, ...] = ("first", "second"), **others: Any) -> Any:
    """A task of three documents, one worked example before each, and as many filters as named.

    `others` are further settings of its configuration.
    """
    from lm_eval.api.task import ConfigurableTask

    return ConfigurableTask(
        config={
            "task": "tiny",
            "custom_dataset": _data,
            "output_type": "generate_until",
            "test_split": "test",
            "fewshot_split": "train",
            "num_fewshot": 1,
            "doc_to_text": "{{q}}",
            "doc_to_target": "{{a}}",
            "process_results": _judge,
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "filter_list": [{"name": n, "filter": [{"function": "take_first"}]} for n in filters],
            **others,
        }
    )


class _Answers:
    """An LM that answers the last two characters of the prompt, and any continuation with -1 nats."""

    @staticmethod
    @cache
    def kind() -> Any:
        from lm_eval.api.model import LM

        class Echo(LM):  # type: ignore[misc]
            def loglikelihood(self, requests: Any) -> Any:
                return [(-1.0, True) for _ in requests]

            def loglikelihood_rolling(self, requests: Any) -> Any:
                return [-1.0 for _ in requests]

            def generate_until(self, requests: Any) -> Any:
                return [request.args[0][-2:] for request in requests]

        return Echo


def _evaluate(task: Any, model: Any = None, env_info: Callable[[Any], None] = lambda _: None) -> Any:
    """lm-eval's results for two of the three documents; `env_info` spares ten seconds of other programs."""
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    with patch.object(evaluator, "add_env_info", env_info, create=True):
        return evaluator.simple_evaluate(
            model=_Answers.kind()() if model is None else model,
            tasks=[task],
            task_manager=TaskManager(include_defaults=False),
            samples={"tiny": [0, 2]},
            log_samples=True,
            bootstrap_iters=0,
        )


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


@cache
def _hf_lm() -> Any:
    """lm-eval's Hugging Face class around the smallest bundled model."""
    from lm_eval.models.huggingface import HFLM

    from harness.suite.load import bundled_folder

    folder = bundled_folder() / "micro" / "models" / "reasoning"
    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=2)


def _request(kind: str, *arguments: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(kind, {}, arguments, 0, ("tiny", 0, 1))


@assumes(
    "lm_eval",
    "Task._filters",
    used_in="harness.scoring.tasks harness.scoring.bbh_filter harness.scoring.benchmark_checks",
    assumed="the list of a task's filters in order, each with `name` and `apply(instances)`; `apply_filters` "
    "runs what is in it then, and each leaves its answers in `filtered_resps[name]`",
    why="the configuration names filters but holds no filter objects, and none can be added to a built task",
    breaks="no filter's name is known: suites cannot be checked, and BBH loses `get-answer-whole`",
)
def filters_of_a_task() -> None:
    from lm_eval.filters import build_filter_ensemble

    task = _task()
    assert [ensemble.name for ensemble in task._filters] == ["first", "second"]
    task._filters = [*task._filters, build_filter_ensemble("third", [("take_first", {})])]
    task.build_all_requests(rank=0, world_size=1)
    for request in task.instances:
        request.resps.append("answer")
    task.apply_filters()
    assert task.instances[0].filtered_resps == dict.fromkeys(("first", "second", "third"), "answer")
    assert [ensemble.name for ensemble in _plain_task()._filters] == ["none"]


def _plain_task() -> Any:
    from lm_eval.api.task import ConfigurableTask

    config = {"task": "plain", "custom_dataset": _data, "output_type": "loglikelihood", "test_split": "test"}
    metric = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    texts = {"doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}
    return ConfigurableTask(config={**config, **texts, "metric_list": [metric]})


@assumes(
    "lm_eval",
    "Task.apply_filters, Task.process_results",
    used_in="harness.scoring.score",
    spelled="apply_filters process_results",
    assumed="`evaluate` calls these two on the task object: first `apply_filters()`, then "
    "`process_results(doc, responses)` filter by filter, in each filter the documents in order",
    why="lm-eval judges one document after the other and offers no hook around it",
    breaks="programs are judged one at a time, or verdicts go to other documents",
)
def order_in_which_documents_are_judged() -> None:
    task, asked = _task(), []

    def process_results(doc: Any, responses: Any) -> Any:
        asked.append((doc["q"], list(responses)))
        return {"acc": 1.0}

    original = task.apply_filters

    def apply_filters() -> Any:
        asked.append(("filters", []))
        return original()

    task.apply_filters, task.process_results = apply_filters, process_results
    _evaluate(task)
    assert asked == [("filters", []), *[("q0", ["q0"]), ("q2", ["q2"])] * 2], asked


@assumes(
    "lm_eval",
    "samples of simple_evaluate",
    used_in="harness.scoring.samples harness.scoring.score",
    spelled="filter doc arguments filtered_resps metrics samples",
    assumed="`simple_evaluate` takes task objects, scores the documents that `samples` names, and gives a "
    "sample for each filter and document with `doc`, `arguments`, `filtered_resps`, `filter`, `metrics`",
    why="the keys of a sample are not documented",
    breaks="items lack scores, predictions or prompts",
)
def keys_of_a_sample() -> None:
    samples = _evaluate(_task())["samples"]["tiny"]
    assert [(s["filter"], s["doc"]["q"]) for s in samples] == [
        (name, question) for name in ("first", "second") for question in ("q0", "q2")
    ]
    first = samples[0]
    assert first["arguments"][0][0].endswith("q0"), first["arguments"]
    assert (first["filtered_resps"], first["metrics"], first["acc"]) == (["q0"], ["acc"], 1.0)


@assumes(
    "lm_eval",
    "utils.hash_string, utils.handle_non_serializable",
    used_in="harness.scoring.samples",
    spelled="hash_string handle_non_serializable",
    assumed="a sample's `doc_hash` is `hash_string` of the document as indented JSON",
    why="lm-eval gives the hash only of documents that it has scored",
    breaks="items get other ids, so that runs and baselines of before cannot be compared",
)
def hash_of_a_document() -> None:
    from harness.scoring.samples import doc_hash

    assert [s["doc_hash"] for s in _evaluate(_task(("first",)))["samples"]["tiny"]] == [
        doc_hash(ROWS[0]),
        doc_hash(ROWS[2]),
    ]


@assumes(
    "lm_eval",
    "evaluator.add_env_info",
    used_in="harness.scoring.score",
    assumed="a function of the module that `simple_evaluate` looks up when it is called, and whose result it "
    "does not use",
    why="there is no switch for it",
    breaks="every benchmark runs a dozen programs to describe the machine",
)
def description_of_the_machine() -> None:
    from lm_eval import evaluator

    called: list[Any] = []
    assert callable(evaluator.add_env_info)
    _evaluate(_task(), env_info=called.append)
    assert len(called) == 1, f"called {len(called)} times"


@assumes(
    "lm_eval",
    "evaluator.get_git_commit_hash",
    used_in="harness.scoring.score",
    assumed="a function of the module that `simple_evaluate` looks up when it is called, and whose result it "
    "only passes on, under `git_hash`",
    why="there is no switch for it",
    breaks="every benchmark starts git, which complains on stderr outside a repository",
)
def commit_of_the_current_folder() -> None:
    from lm_eval import evaluator

    with patch.object(evaluator, "get_git_commit_hash", lambda: "ours"):
        assert _evaluate(_task())["git_hash"] == "ours"


@assumes(
    "lm_eval",
    "Task.sampler",
    used_in="harness.scoring.limit harness.scoring.fingerprint benchmarks.scoring",
    spelled="sampler df set_rnd",
    assumed="a task draws its worked examples by `sampler.sample(n=..., eval_doc=...)`, once for each "
    "document that is asked, in order; `set_fewshot_seed` calls `sampler.set_rnd`; `sampler.df` are the "
    "examples; of the samplers, only `FirstNSampler` gives every document the same",
    why="lm-eval's own `limit` changes which examples the remaining documents get",
    breaks="a limited benchmark has other prompts than the whole one, or changed examples do not change a "
    "benchmark's fingerprint",
)
def sampler_of_a_task() -> None:
    from lm_eval.api.samplers import ContextSampler, FirstNSampler

    from harness.scoring.limit import ReplayedSampler

    asked: list[tuple[int, Any]] = []

    class Recording(ContextSampler):  # type: ignore[misc]
        def sample(self, n: int, eval_doc: Any = None, **others: Any) -> Any:
            asked.append((n, eval_doc))
            return super().sample(n, eval_doc=eval_doc, **others)

    task = _task()
    assert [example["q"] for example in task.sampler.df] == [f"t{i}" for i in range(5)]
    whole = _prompts(task, None)
    task.sampler = Recording(task.sampler.df)
    assert _prompts(task, None) == whole
    assert asked == [(1, None)] * 3, asked
    task.sampler = ReplayedSampler(task.sampler, ROWS, [0, 2])
    assert _prompts(task, [0, 2]) == [whole[0], whole[2]]
    assert [e["q"] for e in FirstNSampler(task.sampler.sampler.df).sample(2)] == ["t0", "t1"]


def _prompts(task: Any, places: list[int] | None) -> list[str]:
    task.set_fewshot_seed(seed=7)
    task.build_all_requests(samples=places, rank=0, world_size=1)
    return [str(request.args[0]) for request in task.instances]


@assumes(
    "lm_eval",
    "TaskConfig.repeats",
    used_in="harness.scoring.tasks harness.scoring.benchmark_checks",
    assumed="read from a task's configuration when requests are built: each request carries it, and is asked "
    "so often",
    why="`simple_evaluate` has no argument for it",
    breaks="a benchmark's `samples` has no effect",
)
def repeats_of_a_request() -> None:
    task = _task()
    task.set_config(key="repeats", value=3)
    assert task.config.repeats == 3
    task.build_all_requests(rank=0, world_size=1)
    assert {request.repeats for request in task.instances} == {3}


@assumes(
    "lm_eval",
    "Task.OUTPUT_TYPE, Task.UNSAFE_CODE, Task.multiple_input, Task.eval_docs, Task.config",
    used_in="harness.scoring.tasks harness.scoring.benchmark_checks harness.scoring.gold",
    spelled="OUTPUT_TYPE UNSAFE_CODE multiple_input eval_docs target_delimiter",
    assumed="attributes of a built task (`UNSAFE_CODE` only of one whose YAML says `unsafe_code: true`); "
    "`config` holds `target_delimiter`, `metadata`, `generation_kwargs`, `filter_list`, `process_results` "
    "and `doc_to_choice`",
    why="attributes of the class, which are described nowhere",
    breaks="code could be run without the suite saying so (UNSAFE_CODE), or bits per byte measured over the "
    "wrong text",
)
def attributes_of_a_task() -> None:
    task = _task()
    assert task.OUTPUT_TYPE == "generate_until"
    assert [getattr(_task(unsafe_code=told), "UNSAFE_CODE", False) for told in (True, False)] == [True, False]
    assert not task.multiple_input
    assert list(task.eval_docs) == ROWS
    assert task.config.target_delimiter == " "
    for name in ("metadata", "generation_kwargs", "filter_list", "process_results", "doc_to_choice"):
        assert hasattr(task.config, name), name


@assumes(
    "lm_eval",
    "api.model.LM",
    used_in="harness.scoring.journal",
    spelled="LM",
    assumed="`isinstance` is all that `simple_evaluate` asks of a model's class; `LM` is an ABC, so a class "
    "can be registered with it",
    why="lm-eval's own cache (`CachingLM`) is one file, which cannot say what a killed run had asked",
    breaks="no benchmark can be scored",
)
def a_model_is_what_registers_as_one() -> None:
    from harness.scoring.journal import Journal, JournaledLM

    with JournaledLM(_Answers.kind()(), Journal(None)) as lm:
        _evaluate(_task(), lm)
    assert lm.computed == 2, f"{lm.computed} answers went through the journal"


@assumes(
    "lm_eval",
    "LM.cache_hook",
    used_in="harness.scoring.journal harness.scoring.shared_prefix.lm",
    spelled="cache_hook set_cache_hook add_partial",
    assumed="`set_cache_hook` sets it, and model classes call its `add_partial(kind, arguments, answer)` as "
    "each answer comes",
    why="nothing else tells of single answers",
    breaks="a killed scoring loses all answers of the call that was under way",
)
def hook_of_answers() -> None:
    told: list[tuple[str, Any]] = []

    class Hook:
        def add_partial(self, kind: str, arguments: Any, _answer: Any) -> None:
            told.append((kind, tuple(arguments)))

    lm = _hf_lm()
    before = lm.cache_hook
    assert _parameters(before.add_partial) == ["attr", "req", "res"]
    lm.set_cache_hook(Hook())
    try:
        lm.loglikelihood([_request("loglikelihood", "a", " b")], disable_tqdm=True)
        lm.generate_until([_request("generate_until", "a", {"max_gen_toks": 1})], disable_tqdm=True)
    finally:
        lm.set_cache_hook(before)
    assert told == [("loglikelihood", ("a", " b")), ("generate_until", ("a", {"max_gen_toks": 1}))], told


@assumes(
    "lm_eval",
    "TemplateLM._encode_pair",
    used_in="harness.scoring.gold benchmarks.scoring",
    assumed="`_encode_pair(context, continuation)` gives the tokens of both as `loglikelihood` scores them; "
    "white space that ends the context counts to the continuation",
    why="`tok_encode` alone does not say where a context ends",
    breaks="bits per byte are asked for continuations without tokens, or divided by other bytes",
)
def tokens_of_a_pair() -> None:
    lm = _hf_lm()
    context, continuation = lm._encode_pair("one two ", "three")
    assert (list(context), list(context) + list(continuation)) == (
        lm.tok_encode("one two"),
        lm.tok_encode("one two three"),
    )


@assumes(
    "lm_eval",
    "HFLM._loglikelihood_tokens",
    used_in="harness.scoring.shared_prefix.lm",
    assumed="what `loglikelihood` and `loglikelihood_rolling` come down to: requests are (texts or None, "
    "context tokens, continuation tokens), answers (nats, whether greedy)",
    why="the public methods take texts, and cut and tokenise them in one go",
    breaks="the model class `fusegauge` scores nothing, or lm-eval reads by its own code and nothing says so",
)
def log_likelihoods_of_tokens() -> None:
    from lm_eval.models.huggingface import HFLM

    from harness.scoring.shared_prefix.lm import SharedPrefixLM

    ours, theirs = SharedPrefixLM._loglikelihood_tokens, HFLM._loglikelihood_tokens
    assert _parameters(ours) == _parameters(theirs), _parameters(theirs)
    lm, asked = _hf_lm(), []

    def record(requests: Any, **_: Any) -> Any:
        asked.extend(requests)
        return [(-1.0, False) for _ in requests]

    lm.__dict__["_loglikelihood_tokens"] = record
    try:
        assert lm.loglikelihood([_request("loglikelihood", "a", " b")], disable_tqdm=True) == [(-1.0, False)]
        assert lm.loglikelihood_rolling([_request("loglikelihood_rolling", "a")], disable_tqdm=True) == [-1.0]
    finally:
        del lm.__dict__["_loglikelihood_tokens"]
    (texts, context, continuation), (no_texts, prefix, text) = asked
    assert texts == ("a", " b")
    assert [*context, *continuation] == lm.tok_encode("a b")
    assert (no_texts, list(prefix), list(text)) == (None, [lm.prefix_token_id], lm.tok_encode("a"))


@assumes(
    "lm_eval",
    "HFLM.tok_encode",
    used_in="harness.scoring.shared_prefix.lm",
    spelled="tok_encode __dict__",
    assumed="`loglikelihood` calls `tok_encode` on the object, with hashable arguments",
    why="a cache around the tokenizer itself would be shared by all calls",
    breaks="a context is tokenised again for each of its answers (slower), or tokenising fails",
)
def tokenising_on_the_object() -> None:
    from functools import lru_cache

    lm = _hf_lm()
    kept = lru_cache(maxsize=4)(lm.tok_encode)
    lm.__dict__["tok_encode"] = kept
    try:
        lm.loglikelihood([_request("loglikelihood", "a", end) for end in (" b", " c")], disable_tqdm=True)
    finally:
        del lm.__dict__["tok_encode"]
    assert kept.cache_info().hits == 1, kept.cache_info()


@assumes(
    "lm_eval",
    "HFLM.batch_size_per_gpu",
    used_in="harness.scoring.shared_prefix.lm harness.scoring.gold benchmarks.scoring",
    assumed="how many requests are read at once; may be set between calls",
    why="`batch_size` is read-only",
    breaks="memory runs out where a long prompt meets a large vocabulary, or rolling windows are read in "
    "batches of lm-eval's size (slower)",
)
def batch_size_of_the_next_call() -> None:
    from harness.core.environment import replaced

    lm = _hf_lm()
    with replaced(lm, "batch_size_per_gpu", 7):
        assert lm.batch_size == 7
    assert lm.batch_size == 2


@assumes(
    "lm_eval",
    "attributes of HFLM",
    used_in="harness.scoring.shared_prefix.lm harness.scoring.gold",
    spelled="backend mixed_precision_dtype think_end_token truncation max_gen_toks max_length "
    "tokenizer_backend eot_token_id",
    assumed="`backend`, `mixed_precision_dtype`, `think_end_token`, `truncation`, `max_gen_toks`, "
    "`max_length`, `eot_token_id`, `rank`, `tok_batch_encode(strings, left_truncate_len=, truncation=)`, "
    "`tok_decode`; of a class behind a server, `tokenizer_backend` None where it does not tell its tokens",
    why="`generate_until` as a whole is public, its parts are not",
    breaks="greedy generation stops elsewhere than lm-eval's own",
)
def attributes_of_the_hugging_face_class() -> None:
    lm = _hf_lm()
    assert (lm.backend, lm.mixed_precision_dtype, lm.think_end_token, lm.truncation) == (
        "causal",
        None,
        None,
        False,
    )
    assert (lm.max_gen_toks, lm.rank, lm.max_length) == (256, 0, lm.model.config.max_position_embeddings)
    assert isinstance(lm.eot_token_id, int)
    tokens, _ = lm.tok_batch_encode(["one two three"], left_truncate_len=2, truncation=False)
    assert tokens[0].tolist() == lm.tok_encode("one two three")[-2:]
    assert lm.tok_decode(lm.tok_encode("one two")) == "one two"
    assert "tokenizer_backend" in _parameters(_server_class().__init__)


def _server_class() -> Any:
    from lm_eval.models.api_models import TemplateAPI

    return TemplateAPI


@assumes(
    "lm_eval",
    "models.utils.handle_stop_sequences, models.utils.normalize_gen_kwargs, "
    "models.utils.postprocess_generated_text",
    used_in="harness.scoring.shared_prefix.lm",
    spelled="handle_stop_sequences normalize_gen_kwargs postprocess_generated_text",
    assumed="stop strings with the end of text behind them; settings with `max_gen_toks` and `until`; a text "
    "cut before the first stop string",
    why="helpers of lm-eval's own model classes",
    breaks="generated texts differ from lm-eval's own",
)
def helpers_of_generation() -> None:
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

    assert handle_stop_sequences(["\n"], eos="</s>") == ["\n", "</s>"]
    settings = normalize_gen_kwargs({"until": "\n", "max_new_tokens": 5, "do_sample": False}, 256)
    expected = {"until": ["\n"], "max_gen_toks": 5, "do_sample": False, "temperature": 0.0}
    assert dict(settings) == expected, settings
    assert normalize_gen_kwargs({}, 256)["max_gen_toks"] == 256
    assert postprocess_generated_text("one\ntwo", ["\n"], None) == "one"


@assumes(
    "lm_eval",
    "utils.apply_template, api.utils.requires_delimiter",
    used_in="harness.scoring.gold harness.scoring.benchmark_checks",
    spelled="apply_template requires_delimiter",
    assumed="a jinja template over a document; whether neither of two texts has white space where they meet",
    why="helpers that lm-eval's tasks build their prompts with",
    breaks="gold continuations are put together otherwise than the task's own",
)
def helpers_of_prompts() -> None:
    from lm_eval.api.utils import requires_delimiter
    from lm_eval.utils import apply_template

    assert apply_template("{{q}}!", ROWS[0]) == "q0!"
    assert [requires_delimiter(*pair) for pair in (("a", "b"), ("a ", "b"), ("a", "\nb"), ("", "b"))] == [
        True,
        False,
        False,
        False,
    ]


@assumes(
    "lm_eval",
    "TaskManager.task_index",
    used_in="harness.scoring.catalogue",
    spelled="task_index cfg tags",
    assumed="name -> entry with `cfg` (the YAML as read; None for a tag, whose members are in `tags`); later "
    "folders of `include_path` win; `load(names)['tasks']` is name -> task with groups and tags taken apart",
    why="it is a public property, but its entries are a private class",
    breaks="unknown tasks are not found out, and the data sets that a suite needs are not known before it "
    "runs",
)
def index_of_tasks() -> None:
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / place for place in ("first", "second")]
        for place in folders:
            place.mkdir()
            text = f"task: one\ntag: several\ndataset_path: {place.name}\n"
            (place / "one.yaml").write_text(text, encoding="utf-8")
        (folders[0] / "group.yaml").write_text("group: both\ntask:\n  - one\n", encoding="utf-8")
        manager = TaskManager(include_path=folders, include_defaults=False)
    assert set(manager.all_tasks) == {"one", "several", "both"}
    index = manager.task_index
    assert index["one"].cfg["dataset_path"] == "second", index["one"].cfg
    assert index["both"].cfg["task"] == ["one"]
    assert (index["several"].cfg, set(index["several"].tags)) == (None, {"one"})
    built = TaskManager(include_defaults=False).load([_task()])
    assert list(built["tasks"]) == ["tiny"]


@assumes(
    "lm_eval",
    "the folder lm_eval/tasks",
    used_in="harness.scoring.catalogue",
    spelled="_DECLARATION rglob",
    assumed="every task's YAML lies below it and has `task:`, `group:` or `tag:` at a line's beginning",
    why="lm-eval's own index parses all of its files, which takes 11 s",
    breaks="official tasks are unknown, or the slow index is made for each",
)
def folder_of_tasks() -> None:
    import lm_eval.tasks

    from harness.scoring.catalogue import _DECLARATION

    folder = Path(lm_eval.tasks.__file__).parent
    for name, place in (("arc_easy", "arc"), ("gsm8k", "gsm8k"), ("humaneval", "humaneval")):
        texts = [path.read_bytes() for path in (folder / place).rglob("*.yaml")]
        assert name.encode() in {found for text in texts for found in _DECLARATION.findall(text)}, name


@assumes(
    "lm_eval",
    "api.registry.model_registry",
    used_in="harness.scoring.shared_prefix harness.scoring.model_backends",
    assumed="`register(name, target='module:Class')` imports nothing until `get_model(name)`; `keys()` are "
    "all names once `lm_eval.models` is imported",
    why="`register_model` decorates a class, whose import takes seconds; lm-eval has no entry point for "
    "models",
    breaks="`scoring.backend` cannot be checked, or `fusegauge` is no model",
)
def registry_of_models() -> None:
    from lm_eval.api.registry import get_model, model_registry

    from harness.scoring.shared_prefix import register

    register()
    assert {"hf", "vllm", "local-completions", "fusegauge"} <= set(model_registry.keys())
    assert get_model("fusegauge").__name__ == "SharedPrefixLM"
    other = type(model_registry)("another")
    other.register("absent", target="tests.upgrading.no_such_module:Nothing")
    assert "absent" in other
    try:
        other.get("absent")
    except ImportError:
        return
    raise AssertionError("the target was not imported when it was asked for")


@assumes(
    "lm_eval",
    "__main__.cli_evaluate",
    used_in="harness.scoring.command_line",
    assumed="lm-eval's command line, without arguments",
    why="lm-eval has no entry point for model classes, so its command is started from ours",
    breaks="`fusegauge-lm-eval`",
)
def command_line() -> None:
    from lm_eval.__main__ import cli_evaluate

    required = [p for p in inspect.signature(cli_evaluate).parameters.values() if p.default is p.empty]
    assert not required, required


@assumes(
    "lm_eval",
    "api.model.tqdm, api.task.tqdm, models.huggingface.tqdm",
    used_in="harness.scoring.quiet",
    spelled="tqdm",
    assumed="each module's own name for the progress bar, looked up when it is called",
    why="not every bar has a switch",
    breaks="lm-eval's bars between the lines of a run",
)
def progress_bars() -> None:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.task import Task
    from lm_eval.models.huggingface import HFLM

    for function in (TemplateLM.loglikelihood, Task.build_all_requests, HFLM.generate_until):
        assert "tqdm" in function.__code__.co_names, function.__qualname__
        assert "tqdm" in function.__globals__, function.__module__


@assumes(
    "lm_eval",
    "logger lm_eval",
    used_in="harness.scoring.quiet harness.scoring.shared_prefix.lm",
    spelled="getLogger",
    assumed="all of lm-eval's notices go through loggers below it",
    why="the level that lm-eval reads from the environment is of the whole process",
    breaks="lm-eval's notices between the lines of a run",
)
def name_of_the_logger() -> None:
    from lm_eval import evaluator
    from lm_eval.api import task

    assert {evaluator.eval_logger.name, task.eval_logger.name} == {"lm_eval.evaluator", "lm_eval.api.task"}


@assumes(
    "lm_eval",
    "datasets.load_dataset in Task.download",
    used_in="harness.data.mirror",
    spelled="load_dataset",
    assumed="looked up in the module `datasets` at the call, with the path and the configuration's name as "
    "`path` and `name`",
    why="official tasks name data sets of the hub, and their YAML is to stay as it is",
    breaks="tasks do not read the mirror",
)
def where_a_task_gets_its_data() -> None:
    import datasets
    from lm_eval.api.task import ConfigurableTask

    from harness.core.environment import replaced

    asked: list[dict[str, Any]] = []

    def load(path: str, name: str | None = None, **_: Any) -> Any:
        asked.append({"path": path, "name": name})
        return datasets.DatasetDict(_data())

    config = {"task": "t", "dataset_path": "a/b", "dataset_name": "c", "output_type": "loglikelihood"}
    texts = {"test_split": "test", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}
    metric = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    with replaced(datasets, "load_dataset", load):
        task = ConfigurableTask(config={**config, **texts, "metric_list": [metric]})
    assert asked == [{"path": "a/b", "name": "c"}], asked
    assert list(task.eval_docs) == ROWS


@assumes(
    "lm_eval",
    "evaluate.load in official code tasks",
    used_in="harness.scoring.execution",
    spelled="load",
    assumed="`evaluate.load('code_eval')` is looked up when the task's module is imported; its `compute` "
    "takes `references`, `predictions` and `k` and gives (scores, details)",
    why="official tasks ask for that metric by name",
    breaks="programs of models are run outside the sandbox, by code that is downloaded",
)
def how_code_tasks_run_programs() -> None:
    import runpy

    import lm_eval.tasks

    from harness.scoring.execution import SwitchedCodeEval, code_eval

    for name in ("humaneval", "humaneval_infilling", "mbpp"):
        path = Path(lm_eval.tasks.__file__).parent / name / "utils.py"
        with code_eval("inspect"):
            found = runpy.run_path(str(path))
            assert any(isinstance(value, SwitchedCodeEval) for value in found.values()), name
            scores = found["pass_at_k"]
            if not isinstance(scores, SwitchedCodeEval):  # MBPP calls the metric itself so
                assert scores(["assert True"], [["pass"]], k=[1]) == {"pass@1": 0.0}, name
