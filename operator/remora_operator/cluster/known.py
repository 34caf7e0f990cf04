"""Which objects a watch has told of, so that those that went meanwhile can be found. Pure.

A watch that was cut for too long has to begin with a list, and no list says what is missing.
"""

from collections.abc import Iterable, Iterator

from remora_operator.cluster.resources import Seen

type Name = tuple[str, str]
"""Namespace and name."""


class KnownObjects:
    """The objects of one collection that somebody keeps."""

    def __init__(self) -> None:
        """Know none."""
        self._uids: dict[Name, str] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._uids)

    def keep(self, one: Seen) -> Seen | None:
        """Know an object; returns the one of its name that it took the place of."""
        before = self._uids.get(one[:2])
        self._uids[one[:2]] = one.uid
        return None if before in (None, one.uid) else Seen(*one[:2], before)

    def drop(self, name: Name) -> Seen | None:
        """Forget an object; returns it if it was known."""
        uid = self._uids.pop(name, None)
        return None if uid is None else Seen(*name, uid)

    def absent(self, names: Iterable[Name]) -> Iterator[Seen]:
        """Forget, one by one, all that is not among these names."""
        for name in self._uids.keys() - set(names):
            yield Seen(*name, self._uids.pop(name))
