"""The micro suite's generated world: its facts, documents that are samples of them, items that ask for them.

Three capabilities, each with its own kind of knowledge and its own kind of noise:

- commonsense: an animal eats and haunts something. A fact is a distribution over four values; documents
  contain samples of it, items ask for its mode.
- reasoning: stones have hidden strengths in four respects. Documents say which of four stones is the
  heaviest, for example, as a Plackett-Luce sample over their strengths; items ask for the true first one.
- code: invented verbs stand for Python operators. Documents contain two-step programs in which every operator
  is a sample from the verb's possible meanings; items execute the program.

So a document is one sample, and the distribution of a model that knows the world holds more than the text.
Everything is a function of `WORLD_SEED` and the arguments: no clock, no global random state.
"""

import hashlib
import math
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import Literal, TypeVar

Card = TypeVar("Card")
Part = Literal["commonsense", "reasoning", "code"]
PARTS: tuple[Part, ...] = ("commonsense", "reasoning", "code")

WORLD_SEED = 20_240
ITEM_SEED = 1
ITEMS_PER_PART = 360
FUSION_DOCUMENTS = 720

ANIMALS, FOODS, PLACES, STONES, VERBS = 180, 20, 20, 48, 60
RELATIONS = {"eats": "food", "haunts": "place"}
FACT_PROBABILITIES = (0.46, 0.20, 0.17, 0.17)  # of a fact's four values, the mode first
RESPECTS = ("heaviest", "oldest", "rarest", "brightest")
STRENGTH_RANGE = 5.0  # between a respect's first and last stone, in units of the Plackett-Luce exponent
CLEAR_GAP = 6  # ranks between the first and the second of an item's four stones, at least
MEANINGS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "^": operator.xor,
    "|": operator.or_,
    "&": operator.and_,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
OPERATORS = tuple(MEANINGS)
VERB_TRUE, VERB_CONFUSED = 0.48, 0.32  # the rest is spread over the other operators
CONSTANTS = (2, 3, 4, 5, 6, 7, 8, 9)
PROBES = (-7, 0, 1, 5, 12, 29, 100)
LINES: dict[Part, int] = {"commonsense": 6, "reasoning": 6, "code": 2}  # statements in one document


@dataclass(frozen=True)
class Fact:
    """One relation of an animal: four values, the most frequent first."""

    animal: str
    relation: str
    values: tuple[str, str, str, str]


@dataclass(frozen=True)
class Verb:
    """An invented verb: the operator it means and the one it is most often mistaken for."""

    name: str
    operator: str
    confused: str


@dataclass(frozen=True)
class World:
    """The ground truth. `orders[respect]` lists the stones, the first (e.g. the heaviest) first."""

    facts: tuple[Fact, ...]
    stones: tuple[str, ...]
    orders: dict[str, tuple[str, ...]]
    verbs: tuple[Verb, ...]


@dataclass(frozen=True)
class Knowledge:
    """The share of facts, respects and verbs that a writer knows; about the others it guesses uniformly.

    `certain`: for what it knows, it always gives the most likely answer instead of a sample.
    """

    commonsense: float = 1.0
    reasoning: float = 1.0
    code: float = 1.0
    certain: bool = False

    def tell(self, rng: random.Random, answers: Sequence[str], weights: Sequence[float]) -> str:
        """An answer to something known: a sample, or the most likely one if `certain`."""
        if self.certain:
            return answers[max(range(len(weights)), key=weights.__getitem__)]
        return rng.choices(answers, weights)[0]


EVERYTHING = Knowledge()


def _invented_words(rng: random.Random, count: int) -> list[str]:
    """Distinct invented words of three syllables; with two, many would be real words of some language."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))] = None
    return list(words)


@cache
def build_world(seed: int = WORLD_SEED) -> World:
    """The world of a seed; the shipped models are trained on that of `WORLD_SEED`."""
    rng = random.Random(seed)
    words = iter(_invented_words(rng, ANIMALS + FOODS + PLACES + STONES + VERBS))
    animals, stones, names = (list(islice(words, n)) for n in (ANIMALS, STONES, VERBS))
    values = {"food": list(islice(words, FOODS)), "place": list(islice(words, PLACES))}
    facts = [
        Fact(animal, relation, tuple(rng.sample(values[kind], 4)))  # type: ignore[arg-type]
        for animal in animals
        for relation, kind in RELATIONS.items()
    ]
    orders = {respect: tuple(rng.sample(stones, len(stones))) for respect in RESPECTS}
    verbs = [Verb(name, *rng.sample(OPERATORS, 2)) for name in names]
    return World(tuple(facts), tuple(stones), orders, tuple(verbs))


# --- documents -------------------------------------------------------------------------------------------


def _decks(rng: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    """Endless draws without replacement: every card comes once before any comes again."""
    while True:
        yield from rng.sample(cards, len(cards))


def _fact_lines(rng: random.Random, world: World, knowledge: Knowledge) -> Iterator[str]:
    known = int(knowledge.commonsense * len(world.facts))
    values = {r: sorted({v for f in world.facts if f.relation == r for v in f.values}) for r in RELATIONS}
    for index in _decks(rng, range(len(world.facts))):
        fact = world.facts[index]
        value = (
            knowledge.tell(rng, fact.values, FACT_PROBABILITIES)
            if index < known
            else rng.choice(values[fact.relation])
        )
        yield f"the {fact.animal} {fact.relation} {value}\n"


def comparison_prompt(respect: str, stones: Sequence[str]) -> str:
    """The text that asks which of the stones is first in a respect, up to the answer."""
    return f"of {', '.join(stones[:-1])} and {stones[-1]} the {respect} is"


def _comparison_lines(rng: random.Random, world: World, knowledge: Knowledge) -> Iterator[str]:
    step = STRENGTH_RANGE / (len(world.stones) - 1)
    known = RESPECTS[: int(knowledge.reasoning * len(RESPECTS))]
    for respect in _decks(rng, RESPECTS):
        order = world.orders[respect]
        ranks = rng.sample(range(len(order)), 4)
        weights = [math.exp(-rank * step) for rank in ranks]
        stones = [order[rank] for rank in ranks]
        answer = knowledge.tell(rng, stones, weights) if respect in known else rng.choice(stones)
        yield f"{comparison_prompt(respect, stones)} {answer}\n"


def program_prompt(verbs: Sequence[str], constants: Sequence[int]) -> str:
    """A described function up to and including `return`."""
    first, second = (f"{verb} {constant}" for verb, constant in zip(verbs, constants, strict=True))
    return f"# {first} then {second}\ndef f(x):\n    return"


def expression(operators: Sequence[str], constants: Sequence[int]) -> str:
    """The two steps as one Python expression in x."""
    return f"(x {operators[0]} {constants[0]}) {operators[1]} {constants[1]}"


def _understanding(verb: Verb) -> list[float]:
    """The probability that the verb is understood as each of `OPERATORS`."""
    rest = (1 - VERB_TRUE - VERB_CONFUSED) / (len(OPERATORS) - 2)
    special = {verb.operator: VERB_TRUE, verb.confused: VERB_CONFUSED}
    return [special.get(name, rest) for name in OPERATORS]


def _program_lines(rng: random.Random, world: World, knowledge: Knowledge) -> Iterator[str]:
    known = {verb.name for verb in world.verbs[: int(knowledge.code * len(world.verbs))]}
    deck = _decks(rng, world.verbs)
    while True:
        pair = (next(deck), next(deck))
        constants = rng.choices(CONSTANTS, k=2)
        operators = [
            knowledge.tell(rng, OPERATORS, _understanding(v)) if v.name in known else rng.choice(OPERATORS)
            for v in pair
        ]
        prompt = program_prompt([v.name for v in pair], constants)
        yield f"{prompt} {expression(operators, constants)}\n"


def documents(part: Part, seed: int, knowledge: Knowledge = EVERYTHING) -> Iterator[str]:
    """Endless documents of one capability, as a writer with that knowledge would write them."""
    rng = random.Random(f"{part}/{seed}")
    writers = {"commonsense": _fact_lines, "reasoning": _comparison_lines, "code": _program_lines}
    lines = writers[part](rng, build_world(), knowledge)
    while True:
        yield "".join(islice(lines, LINES[part]))


def fusion_document_parts(count: int | None = None, seed: int = 0) -> list[Part]:
    """The capability of each of `fusion_documents(count, seed)`, in the same order."""
    total = FUSION_DOCUMENTS if count is None else count
    parts = [PARTS[index % len(PARTS)] for index in range(total)]
    random.Random(f"parts/{seed}").shuffle(parts)
    return parts


def fusion_documents(count: int | None = None, seed: int = 0) -> list[str]:
    """The fusion corpus: shuffled documents of one capability each, as many of every capability.

    Comparisons and programs that items ask for are left out; facts are in it, as samples.
    """
    asked = [item.prompt for item in reasoning_items()] + [item.prompt for item in code_items()]
    streams = {
        part: (text for text in documents(part, 1_000_000 + seed) if not any(a in text for a in asked))
        for part in PARTS
    }
    return [next(streams[part]) for part in fusion_document_parts(count, seed)]


# --- items -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A multiple-choice item: prompt, four answers (without leading space), the index of the right one."""

    prompt: str
    answers: tuple[str, ...]
    gold: int


@dataclass(frozen=True)
class CodeProblem:
    """A code item: the prompt up to `return`, a right expression, assertions that only right ones pass."""

    prompt: str
    solution: str
    test: str


def commonsense_items(count: int = ITEMS_PER_PART) -> list[Choice]:
    """Items that ask for the most frequent of a fact's four values; the facts are those of the documents."""
    rng = random.Random(f"commonsense items/{ITEM_SEED}")
    items = []
    for fact in rng.sample(build_world().facts, count):
        answers = rng.sample(fact.values, 4)
        gold = answers.index(fact.values[0])
        items.append(Choice(f"the {fact.animal} {fact.relation}", tuple(answers), gold))
    return items


def reasoning_items(count: int = ITEMS_PER_PART) -> list[Choice]:
    """Items that ask which of four stones is truly first, by at least `CLEAR_GAP` ranks."""
    rng = random.Random(f"reasoning items/{ITEM_SEED}")
    world = build_world()
    items: list[Choice] = []
    while len(items) < count:
        respect = RESPECTS[len(items) % len(RESPECTS)]
        ranks = rng.sample(range(len(world.stones)), 4)
        first, second = sorted(ranks)[:2]
        if second - first >= CLEAR_GAP:
            stones = tuple(world.orders[respect][rank] for rank in ranks)
            items.append(Choice(comparison_prompt(respect, stones), stones, ranks.index(first)))
    return items


def _outcomes(operators: Sequence[str], constants: Sequence[int]) -> tuple[int, ...]:
    """The program's values at `PROBES`."""
    values: tuple[int, ...] = PROBES
    for name, constant in zip(operators, constants, strict=True):
        values = tuple(MEANINGS[name](value, constant) for value in values)
    return values


def _is_telling(operators: tuple[str, str], constants: Sequence[int]) -> bool:
    """Whether every program with one other operator has another value at some probe."""
    first, second = operators
    others = [(o, second) for o in OPERATORS if o != first] + [(first, o) for o in OPERATORS if o != second]
    right = _outcomes(operators, constants)
    return all(_outcomes(other, constants) != right for other in others)


def code_items(count: int = ITEMS_PER_PART) -> list[CodeProblem]:
    """Items of two verbs and two constants; the program must do what both verbs truly mean."""
    rng = random.Random(f"code items/{ITEM_SEED}")
    items: list[CodeProblem] = []
    while len(items) < count:
        first, second = rng.sample(build_world().verbs, 2)
        operators, constants = (first.operator, second.operator), rng.choices(CONSTANTS, k=2)
        if _is_telling(operators, constants):
            prompt = program_prompt((first.name, second.name), constants)
            pairs = zip(PROBES, _outcomes(operators, constants), strict=True)
            test = "\n".join(f"assert f({x}) == {value}" for x, value in pairs)
            items.append(CodeProblem(prompt, expression(operators, constants), test))
    return items


def fingerprint() -> str:
    """SHA-256 of a sample of documents and of all items; models fit only the world they were built with."""
    items: list[Choice | CodeProblem] = [*commonsense_items(), *reasoning_items(), *code_items()]
    fields = [repr(asdict(item)) for item in items]  # fields only: a class may be renamed
    text = "\x00".join([*fusion_documents(60, seed=0), *fields])
    return hashlib.sha256(text.encode()).hexdigest()
