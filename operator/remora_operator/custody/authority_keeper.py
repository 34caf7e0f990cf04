"""One CA's Secret: read by every replica, made and moved on by the leader."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from remora.errors import BadRequest, ConfigError, Problem, Unavailable
from remora_operator.ca.authority import Kind, make_root, new_key
from remora_operator.ca.certificates import RandomBytes, fingerprint
from remora_operator.ca.rotation import Rotation, begin, retire, steady, switch
from remora_operator.ca.rotation_secret import read_rotation, secret_data
from remora_operator.ca.serving import SERVING_LIFE, Step, due_step
from remora_operator.ca.status import end_note
from remora_operator.custody.judgement import Found, Verdict, judge
from remora_operator.custody.known_roots import KnownRoots, root_keys
from remora_operator.custody.roots_record import RootsRecord
from remora_operator.custody.secret_store import Conflict, SecretStore, StoredSecret

logger = logging.getLogger(__name__)

_TRIES = 5

IsPublished = Callable[[Rotation], bool]
"""Tells whether a rotation's roots are, and have long been, wherever they have to be known."""


@dataclass(frozen=True, slots=True)
class KeptAuthority:
    """Which CA is kept, and how.

    Attributes:
        kind: What the CA is for.
        secret: Where it is.
        is_made_here: The leader makes it where there is none.
        renews_itself: The leader rotates it by the clock, if the operator made it.
    """

    kind: Kind
    secret: str
    is_made_here: bool = True
    renews_itself: bool = False


class AuthorityKeeper:
    """Knows one CA as it stands now.

    Attributes:
        rotation: As it was read last; None before.
    """

    def __init__(
        self,
        kept: KeptAuthority,
        *,
        secrets: SecretStore,
        record: RootsRecord,
        random_bytes: RandomBytes,
        evidence: Callable[[], Awaitable[Sequence[x509.Certificate]]],
        is_published: IsPublished,
    ) -> None:
        """Take where it is and what is known of it elsewhere.

        Args:
            kept: Which CA.
            secrets: Where Secrets are.
            record: Where its roots are made known.
            random_bytes: For serial numbers.
            evidence: Finds roots that agents trust although the record knows none; asked before
                one is made.
            is_published: Asked before the clock moves the rotation on.
        """
        self.rotation: Rotation | None = None
        self._kept = kept
        self._secrets = secrets
        self._record = record
        self._random_bytes = random_bytes
        self._evidence = evidence
        self._is_published = is_published
        self._version = ""
        self._why = "has not been read yet"

    @property
    def where(self) -> str:
        """How the Secret is called in what people read."""
        return self._secrets.where(self._kept.secret)

    def usable(self) -> Rotation:
        """Return the CA as it was read last.

        Raises:
            Unavailable: It never was; the message says why.
        """
        if self.rotation is None:
            raise Unavailable(f"there is no CA to sign with: {self.where} {self._why}")
        return self.rotation

    async def keep(self, now: datetime, *, leads: bool) -> tuple[Problem, ...]:
        """Read the CA, and as the leader make it, put it back, move it on; returns what is wrong.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        for _ in range(_TRIES):
            try:
                problems = await self._keep(now, leads=leads)
            except Conflict as conflict:
                logger.info("%s: somebody else was quicker: %s", self.where, conflict)
                continue
            if problems is not None:
                self._why = "; ".join(problem.what for problem in problems)
                return problems
        return (Problem(self.where, "is written by somebody else again and again"),)

    async def _keep(self, now: datetime, *, leads: bool) -> tuple[Problem, ...] | None:
        """Take one look; None: what was done has to be read, too."""
        stored = await self._secrets.read(self._kept.secret)
        known = await self._record.read(self._kept.secret)
        found = self._found(stored, known, now)
        judgement = judge(found)
        if judgement.verdict is Verdict.MAKE:
            known = KnownRoots(tuple(await self._evidence()))
            judgement = judge(self._found(stored, known, now))
        problems = self._problems(judgement.problems)
        match judgement.verdict:
            case Verdict.MAKE if leads:
                await self._make(now)
                return None
            case Verdict.MAKE:
                return self._problems(["is awaited: the leader makes it"])
            case Verdict.PUT_BACK if leads:
                await self._put_back()
                return problems
            case Verdict.PUT_BACK | Verdict.HOLD:
                return problems
            case Verdict.USE if stored is not None and found.rotation is not None:
                return await self._use(stored, found.rotation, known, now, leads=leads)
        raise AssertionError("what is used was found")  # pragma: no cover

    def _found(self, stored: StoredSecret | None, known: KnownRoots, now: datetime) -> Found:
        rotation: Rotation | None = None
        unfit: tuple[str, ...] = ()
        if stored is not None and stored.version == self._version:
            rotation = self.rotation
        elif stored is not None:
            rotation, unfit = self._read(stored, known, now)
        return Found(
            is_there=stored is not None,
            rotation=rotation,
            unfit=unfit,
            known=known,
            held=self.rotation,
            is_made_here=self._kept.is_made_here,
        )

    def _read(
        self, stored: StoredSecret, known: KnownRoots, now: datetime
    ) -> tuple[Rotation | None, tuple[str, ...]]:
        try:
            rotation = read_rotation(stored.data, now, self._kept.kind, where="", is_new=False)
            if known.keys.isdisjoint(root_keys(rotation.roots)):
                rotation = read_rotation(stored.data, now, self._kept.kind, where="")
        except ConfigError as error:
            return None, tuple(str(problem).lstrip(":, ") for problem in error.problems)
        return rotation, ()

    async def _make(self, now: datetime) -> None:
        kind = self._kept.kind
        root = make_root(new_key(), now, self._random_bytes, kind)
        await self._secrets.create(self._kept.secret, secret_data(steady(root, kind, now)))
        logger.info("%s: made a root, %s", self.where, fingerprint(root.root))

    async def _put_back(self) -> None:
        assert self.rotation is not None  # noqa: S101 - what is put back is held
        await self._secrets.create(self._kept.secret, secret_data(self.rotation))
        logger.warning("%s was gone, and has been put back from memory", self.where)

    async def _use(
        self,
        stored: StoredSecret,
        rotation: Rotation,
        known: KnownRoots,
        now: datetime,
        *,
        leads: bool,
    ) -> tuple[Problem, ...] | None:
        self._take(stored, rotation)
        note = end_note(rotation, now)
        problems = self._problems([note] if note else [])
        if not leads:
            return problems
        if set(known.roots) != set(rotation.roots):
            await self._record.write(self._kept.secret, rotation.roots)
        if not (self._kept.renews_itself and stored.is_ours and not stored.issuer):
            return problems
        return await self._move_on(stored, rotation, now, problems)

    def _take(self, stored: StoredSecret, rotation: Rotation) -> None:
        before = self.rotation
        self.rotation, self._version = rotation, stored.version
        if before is None or (before.phase, before.roots) != (rotation.phase, rotation.roots):
            roots = ", ".join(fingerprint(root)[:16] for root in rotation.roots)
            logger.info("%s: %s, trusted roots %s", self.where, rotation.phase.value, roots)

    async def _move_on(
        self, stored: StoredSecret, rotation: Rotation, now: datetime, problems: tuple[Problem, ...]
    ) -> tuple[Problem, ...] | None:
        try:
            moved = self._moved(rotation, now)
        except BadRequest as refused:
            return (*problems, *self._problems([f"can't be renewed: {refused}"]))
        if moved is None:
            return problems
        await self._secrets.save(stored, secret_data(moved))
        return None

    def _moved(self, rotation: Rotation, now: datetime) -> Rotation | None:
        step = due_step(rotation, now)
        if step is Step.NOTHING or not self._is_published(rotation):
            return None
        logger.info("%s: %s", self.where, step.value)
        match step:
            case Step.BEGIN:
                new = make_root(new_key(), now, self._random_bytes, self._kept.kind)
                return begin(rotation, new, now, self._random_bytes)
            case Step.SWITCH:
                return switch(rotation, now)
            case Step.RETIRE:
                return retire(rotation, now, (), longest=SERVING_LIFE)

    def _problems(self, texts: Sequence[str]) -> tuple[Problem, ...]:
        return tuple(Problem(self.where, text) for text in texts)
