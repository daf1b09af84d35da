"""Prompt lookup decoding: draft tokens from the text so far, verified in the next pass.

Reading a handful of tokens takes a model hardly longer than reading one. Worked answers repeat their prompt's
phrases, code its names, and small models themselves: what followed the last few tokens where they occurred
before is tried as the continuation (prompt lookup; Saxena 2023, speculative decoding without a draft model).
"""

from collections.abc import Sequence

LENGTHS = (3, 2, 1)  # of the last tokens that are looked up, longest first
MOST = 12  # tokens guessed at once


class Guesser:
    """One row's tokens, and the last position of each n-gram."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._text: list[int] = []
        self._after: dict[
            tuple[int, ...], int
        ] = {}  # a run of tokens -> the place behind its last occurrence
        self._trust = 4
        self.extend(prompt)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append accepted tokens. Only n-grams that were followed by a token are looked up."""
        for token in tokens:
            place = len(self._text)
            for length in LENGTHS:
                if place >= length:
                    self._after[tuple(self._text[place - length :])] = place
            self._text.append(token)

    def guess(self, most: int) -> list[int]:
        """At most `most` draft tokens; none if the last n-gram is new."""
        most = min(most, self._trust)
        for length in LENGTHS if most > 0 else ():
            place = self._after.get(tuple(self._text[-length:]))
            if place is not None and len(self._text) > length:
                return self._text[place : place + most]
        return []

    def learn(self, guessed: int, right: int) -> None:
        """Lengthen drafts after they were accepted, shorten them after a rejection."""
        if guessed:
            self._trust = min(MOST, self._trust * 2) if right == guessed else max(1, right + 1)
