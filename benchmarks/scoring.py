"""Scoring with shared prefixes, against lm-eval's Hugging Face class on the same requests of official tasks.

The reference is the best of batch sizes 1, 4 and 8. Models are loaded before and warmed up on the longest
request; the timed call is `loglikelihood` or `generate_until` as lm-eval calls it, tokenisation included.
Loading, during which our class checks itself against lm-eval's and packs its weights, is timed separately.
Ours is also timed without weights packed for oneDNN, to separate the gain from sharing prefixes from the gain
of the faster matrix product. All answers are compared: log-likelihoods, is_greedy, the tasks' metrics for
each document, texts. The limit of a case is total tokens / distinct tokens: the most that sharing alone can
give.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Bar, Row, Timed, alternate, extra_peak
from harness.scoring.options import ScoringOptions
from harness.suite.load import bundled_folder
from harness.suite.spec import BenchmarkSpec

BATCH_SIZES = (1, 4, 8)
LIKELIHOOD = 1e-3  # nats, the largest difference allowed in float32
FIRST = "arc_easy, 0-shot"  # the only case for models after the first


@dataclass(frozen=True)
class Case:
    """Requests of official tasks. `bar` is the speed-up that the project requires."""

    name: str
    tasks: tuple[str, ...]
    items: int  # per task
    shots: int | None
    bar: float | None
    generated: int | None = None  # largest number of generated tokens
    first_n: bool = False  # the same worked examples for every document

    @property
    def spec(self) -> BenchmarkSpec:
        return BenchmarkSpec(
            name="case",
            tasks=self.tasks,
            num_fewshot=self.shots,
            limit=self.items,
            metrics=("acc",),
            gen_kwargs={} if self.generated is None else {"max_gen_toks": self.generated},
        )


BBH = tuple(
    f"bbh_cot_fewshot_{name}" for name in ("boolean_expressions", "object_counting", "date_understanding")
)
CASES = (
    Case(FIRST, ("arc_easy",), 40, 0, 2.0),
    Case("openbookqa, 0-shot", ("openbookqa",), 40, 0, 2.5),
    Case("arc_challenge, 5-shot first_n", ("arc_challenge",), 20, 5, 10.0, first_n=True),
    Case("bbh, 3-shot chain of thought, 3 subtasks, 64 tokens", BBH, 8, 3, 4.0, generated=64),
    Case("humaneval, 256 tokens", ("humaneval",), 8, None, 2.0, generated=256),
)
QUICK = (
    Case("micro_reasoning", ("micro_reasoning",), 6, 0, None),
    Case("micro_code", ("micro_code",), 4, None, None, generated=8),
)


def cases(quick: bool, models: Sequence[Path], mirror: Path | None = None) -> Iterator[Row]:
    """Every case on the first model, the first case on all others."""
    folders = models or [bundled_folder() / "micro" / "models" / "reasoning"]
    chosen = QUICK if quick or not models else CASES
    for place, folder in enumerate(folders):
        for case in chosen if place == 0 else chosen[:1]:
            yield _measured(Setting(case, folder, mirror), measured_memory=not quick)


@dataclass(frozen=True)
class Setting:
    """A case, a model's folder, and the mirror that data comes from."""

    case: Case
    folder: Path
    mirror: Path | None

    @cached_property
    def requests(self) -> list[Any]:
        """lm-eval's Instances, tasks in order."""
        return [instance for _, instances in self.by_task for instance in instances]

    @cached_property
    def by_task(self) -> list[tuple[Any, list[Any]]]:
        """The tasks with their Instances, built as scoring builds them."""
        from lm_eval.api.samplers import FirstNSampler

        from harness.scoring.limit import chosen
        from harness.scoring.tasks import build_tasks, configure, environment

        options = ScoringOptions(mirror=self.mirror, task_folders=(bundled_folder() / "tasks",))
        with environment(options, "inspect"):
            tasks = build_tasks(self.case.tasks, options)
            for name, task in tasks.items():
                if self.case.first_n:
                    task.sampler = FirstNSampler(task.sampler.df)
                configure(task, self.case.spec, options)
                if self.case.generated is not None:
                    settings = {"max_gen_toks": self.case.generated}
                    task.set_config(key="generation_kwargs", value=settings, update=True)
                places = chosen(name, list(task.eval_docs), self.case.items, options.seed)
                task.build_all_requests(samples=places, rank=0, world_size=1)
        return [(task, list(task.instances)) for task in tasks.values()]

    def model(self, way: str) -> Any:
        """lm-eval's class, or ours with or without packed weights."""
        from lm_eval.models.huggingface import HFLM

        from harness.scoring.shared_prefix.lm import SharedPrefixLM

        settings: dict[str, Any] = {"pretrained": str(self.folder), "device": "cpu", "dtype": "float32"}
        if way.startswith("plain"):
            return HFLM(**settings, batch_size=int(way.split()[1]))
        return SharedPrefixLM(**settings, pack_weights=way == "ours")

    def ask(self, model: Any, some: Sequence[Any] | None = None) -> list[Any]:
        """All requests, or some."""
        asked = list(self.requests if some is None else some)
        answers: list[Any] = getattr(model, asked[0].request_type)(asked, disable_tqdm=True)
        return answers

    def warm_up(self, model: Any) -> None:
        """Run the longest request, on which requests beyond a sliding window are checked as well."""
        self.ask(model, [max(self.requests, key=lambda request: len(request.args[0]))])


def _measured(setting: Setting, *, measured_memory: bool) -> Row:
    ways = [f"plain {size}" for size in BATCH_SIZES] + ["ours", "ours unpacked"]
    timed = dict(zip(ways, _timed(setting, ways), strict=True))
    plain = min((w for w in ways if w.startswith("plain")), key=lambda w: timed[w].seconds)
    peaks = {way: _peak(setting, way) if measured_memory else None for way in ("ours", plain)}
    ratio = timed[plain].seconds / timed["ours"].seconds
    found = _differences(setting, timed["ours"].result, timed["plain 1"].result)
    return Row(
        f"{setting.case.name}, {setting.folder.name}",
        "harness.scoring.shared_prefix",
        f"lm-eval's Hugging Face class, batch size {plain.split()[1]}",
        timed["ours"].seconds,
        timed[plain].seconds,
        peaks["ours"],
        peaks[plain],
        bars=tuple(_bars(setting.case, ratio, found)),
        outputs_agree=found.get("largest difference, nats", 0) <= LIKELIHOOD
        and not any(found[name] for name in found if name.startswith("different")),
        counted={
            **_tokens(setting),
            **_loading(setting),
            **{f"{way}, s": timed[way].seconds for way in ways if way != "ours"},
            "without packed weights x": timed[plain].seconds / timed["ours unpacked"].seconds,
            **found,
        },
    )


def _bars(case: Case, ratio: float, found: Mapping[str, float]) -> Iterator[Bar]:
    if case.bar is not None:
        yield Bar("speed x of lm-eval's best batch size", "at least", case.bar, ratio)
    if case.bar is not None and "largest difference, nats" in found:
        yield Bar("largest difference, nats", "at most", LIKELIHOOD, found["largest difference, nats"])


def _timed(setting: Setting, ways: Sequence[str]) -> list[Timed]:
    """Time one call each, in turn; the plain batch sizes share a model."""
    models: dict[str, Any] = {}
    works: list[Callable[[], object]] = []
    for way in ways:
        kind = "plain" if way.startswith("plain") else way
        if kind not in models:
            models[kind] = setting.model(way)
            setting.warm_up(models[kind])
        works.append(partial(_asked, setting, models[kind], way))
    return alternate(*works, rounds=1, warmed=True)


def _loading(setting: Setting) -> dict[str, float]:
    """CPU seconds to load each class, with the files already in the page cache."""
    ways = {"plain": "plain 1", "ours": "ours"}
    timed = alternate(*(partial(setting.model, way) for way in ways.values()), rounds=1)
    return {f"loading {name}, s": each.seconds for name, each in zip(ways, timed, strict=True)}


def _asked(setting: Setting, model: Any, way: str) -> list[Any]:
    if way.startswith("plain"):
        model.batch_size_per_gpu = int(way.split()[1])
    return setting.ask(model)


def _peak(setting: Setting, way: str) -> float | None:
    place = CASES.index(setting.case) if setting.case in CASES else -1 - QUICK.index(setting.case)
    return extra_peak("benchmarks.scoring", way, str(place), str(setting.folder), str(setting.mirror or ""))


def prepare(way: str, place: str, folder: str, mirror: str) -> Callable[[], object]:
    """All requests of a case, for `extra_peak`, with the model loaded and warmed up."""
    number = int(place)
    case = CASES[number] if number >= 0 else QUICK[-1 - number]
    setting = Setting(case, Path(folder), Path(mirror) if mirror else None)
    model = setting.model(way)
    setting.warm_up(model)
    return partial(_asked, setting, model, way)


def _tokens(setting: Setting) -> dict[str, float]:
    """Total and distinct tokens of prompts and answers, and their ratio."""
    from harness.scoring.shared_prefix.prefixes import distinct_tokens

    model = setting.model("ours")
    inputs = [_input(model, request) for request in setting.requests]
    total, distinct = sum(map(len, inputs)), distinct_tokens(inputs)
    return {"tokens": total, "distinct tokens": distinct, "limit x": total / distinct}


def _input(model: Any, request: Any) -> Any:
    if request.request_type == "generate_until":
        return np.asarray(model.tok_encode(request.args[0]), np.int64)
    context, answer = model._encode_pair(*request.args)
    return np.asarray([*context, *answer][:-1], np.int64)


def _differences(setting: Setting, ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, float]:
    """Differences between the answers, and between the documents' metrics computed from them."""
    counted: dict[str, float] = {"answers compared": len(ours)}
    if setting.case.generated is not None:
        return counted | {"different texts": sum(a != b for a, b in zip(ours, theirs, strict=True))}
    pairs = list(zip(ours, theirs, strict=True))
    metrics = [_metrics(setting, answers) for answers in (ours, theirs)]
    return counted | {
        "largest difference, nats": max(abs(a[0] - b[0]) for a, b in pairs),
        "different is_greedy": sum(a[1] != b[1] for a, b in pairs),
        "documents compared": len(metrics[0]),
        "different accuracies": sum(a != b for a, b in zip(*metrics, strict=True)),
    }


def _metrics(setting: Setting, answers: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Metrics of each document, computed by its task from these answers."""
    left = iter(answers)
    found = []
    for task, instances in setting.by_task:
        documents: dict[int, list[Any]] = {}
        for instance in instances:
            documents.setdefault(instance.doc_id, []).append((instance.doc, next(left)))
        found += [task.process_results(rows[0][0], [a for _, a in rows]) for rows in documents.values()]
    return found
