"""Makes training messages of the grammars: the same ones each time, on every version of Python."""

# ruff: noqa: RUF001 - marks of other scripts are meant

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import sqrt
from random import Random

from training.signals.labelled import Grammar, Message

from remora.feedback.classifier.context import Context
from remora.feedback.classifier.verdict import Label
from remora.feedback.classifier.wording import read

_SLOT = re.compile(r"\{(\w+)\}")
_PER_SLOT = 6
"""Sentences made of a template for each slot it has."""
_MOST = 14
_JOINED_SHARE = 0.25
_NO_QUOTES = re.compile(r"[\"“”„«»「」『』'`]")


class Maker:
    """Makes sentences of one grammar."""

    def __init__(self, grammar: Grammar, held_back: frozenset[tuple[str, ...]]) -> None:
        """Prepare for a language.

        Args:
            grammar: The language's.
            held_back: Sentences (as `wording_key`) that training must not see.
        """
        self._grammar = grammar
        self._held_back = held_back
        self._random = Random(f"signals {grammar.language}")  # noqa: S311 - no secret

    def alone(self) -> list[Message]:
        """Make sentences of single templates."""
        made = [message for label in Label for message in self._of_label(label)]
        return [message for message in made if wording_key(message.text) not in self._held_back]

    def messages(self) -> list[Message]:
        """Make all: of each template alone, of two joined, and with context."""
        alone = self.alone()
        joined = [self._joined(alone) for _ in range(int(len(alone) * _JOINED_SHARE))]
        made = [*alone, *(message for message in joined if message), *self._in_context(alone)]
        return [message for message in made if wording_key(message.text) not in self._held_back]

    def _of_label(self, label: Label) -> Iterator[Message]:
        for template in self._grammar.templates[label]:
            texts = self._sentences(template)
            weight = 1 / sqrt(len(texts))
            for text in texts:
                yield Message(self._typed(text), label, self._grammar.language, weight=weight)

    def _sentences(self, template: str) -> list[str]:
        count = min(1 + _PER_SLOT * len(_SLOT.findall(template)), _MOST)
        return list(dict.fromkeys(self._filled(template) for _ in range(count)))

    def _filled(self, template: str) -> str:
        return _SLOT.sub(lambda slot: self._slot(slot[1]), template)

    def _slot(self, name: str) -> str:
        if name != "quote":
            return self._filled(self._one(self._grammar.slots[name]))
        label = self._one((Label.ACCEPTED, Label.REJECTED, Label.CORRECTED))
        said = self._filled(self._one(self._grammar.templates[label]))
        bare = _NO_QUOTES.sub("", said)
        return self._one(('"{}"', "“{}”", "'{}'", "«{}»", "「{}」")).format(bare)

    def _typed(self, text: str) -> str:
        """Now and then, end it as people do."""
        chance = self._random.random()
        if text[-1:].isalnum() and chance < 0.3:
            return text + self._one((".", ".", "!", "!!", "..."))
        return text.rstrip(".!") or text if chance > 0.8 else text

    def _joined(self, messages: Sequence[Message]) -> Message | None:
        """Join two; a verdict with a new question is still a verdict."""
        first, second = self._one(messages), self._one(messages)
        kinds = (first.label, second.label)
        if first.label is not second.label and kinds not in _JOINS:
            return None
        label = _JOINS.get(kinds, first.label)
        end = "" if first.text[-1:] in ".!?。！？।" else self._one((".", ",", "!", "\n"))
        text = f"{first.text}{end} {second.text}"
        return replace(first, text=text, label=label, weight=0.3)

    def _in_context(self, messages: Sequence[Message]) -> Iterator[Message]:
        tasks = [one for one in messages if one.label is Label.NEUTRAL and len(one.text) > 12]
        for message in tasks[:: max(len(tasks) // 60, 1)]:
            yield from _repeated(message, self._one)
            other = self._one(tasks)
            yield replace(other, context=Context(previous=message.text), weight=0.7)
        for message in messages[:: max(len(messages) // 150, 1)]:
            yield replace(message, context=Context(previous=self._one(tasks).text), weight=0.7)
        yield from self._followed(tasks)

    def _followed(self, tasks: Sequence[Message]) -> Iterator[Message]:
        """Questions of one shape follow each other, and answers come back edited."""
        for template in self._grammar.templates[Label.NEUTRAL]:
            if len(_SLOT.findall(template)) == 1 and self._random.random() < 0.4:
                asked, said = self._filled(template), self._filled(template)
                if asked != said:
                    yield Message(
                        said, Label.NEUTRAL, self._grammar.language, Context(previous=asked), 0.7
                    )
        for message in tasks[:: max(len(tasks) // 40, 1)]:
            yield self._edited(tasks, message)

    def _edited(self, tasks: Sequence[Message], message: Message) -> Message:
        answer = f"{message.text}. {self._one(tasks).text}"
        words = answer.split(" ") if " " in answer else list(answer)
        at = int(self._random.random() * len(words))
        words[at] = self._one(tasks).text.split(" ")[0][:8]
        joint = " " if " " in answer else ""
        context = Context(answer=answer)
        return replace(message, text=joint.join(words), label=Label.CORRECTED, context=context)

    def _one[T](self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]


_JOINS = {
    (Label.ACCEPTED, Label.NEUTRAL): Label.ACCEPTED,
    (Label.REJECTED, Label.CORRECTED): Label.CORRECTED,
    (Label.ACCEPTED, Label.CORRECTED): Label.CORRECTED,
    (Label.NEUTRAL, Label.REJECTED): Label.REJECTED,
}


def _repeated(message: Message, one: Callable[[Sequence[str]], str]) -> Iterator[Message]:
    """The same question again, as it was or nearly."""
    context = Context(previous=message.text)
    again = replace(message, label=Label.REJECTED, context=context)
    yield again
    yield replace(again, text=message.text.rstrip("?.!") + one(("!", "!!", "??", "?!", "")))
    words = message.text.split(" ")
    if len(words) > 5:
        yield replace(again, text=" ".join(words[2:]))
        yield replace(again, text=" ".join([*words[:3], *words[4:]]))


def wording_key(text: str) -> tuple[str, ...]:
    """Return what two texts share that say the same with the same words."""
    return tuple(word for word in read(text) if word not in ".,!?")
