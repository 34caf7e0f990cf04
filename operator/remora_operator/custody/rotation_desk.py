"""Where people see how the CAs stand, and move their rotations on: what `remora ca` does.

It works on the same Secrets as the operator, by the API server alone: no replica has to run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remora.clock import Clock
from remora.errors import BadRequest, ConfigError
from remora_operator.ca.authority import INTERCEPTION, SERVING, Kind, make_root, new_key
from remora_operator.ca.certificates import RandomBytes, fingerprint
from remora_operator.ca.intermediate import INTERMEDIATE_LIFE
from remora_operator.ca.rotation import REFUSED, Rotation, abandon, begin, retire, steady, switch
from remora_operator.ca.rotation_secret import read_rotation, secret_data
from remora_operator.ca.serving import SERVING_LIFE
from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.agents import injected_pods
from remora_operator.custody.judgement import Found, Verdict, judge
from remora_operator.custody.known_roots import KnownRoots
from remora_operator.custody.moments import wall_time
from remora_operator.custody.next_step import NEXT, RotationStep, Surroundings, holds
from remora_operator.custody.roots_record import RootsRecord
from remora_operator.custody.secret_store import Conflict, SecretStore, StoredSecret
from remora_operator.custody.settings import (
    INTERCEPTION_SECRET,
    OPERATOR_SECRET,
    SERVING_SECRET,
)
from remora_operator.custody.trust_files import published_version
from remora_operator.custody.trust_maps import trust_map_states

_TRIES = 5


class Ca(StrEnum):
    """One of the two CAs."""

    INTERCEPTION = "interception"
    SERVING = "serving"

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return INTERCEPTION if self is Ca.INTERCEPTION else SERVING

    @property
    def secret(self) -> str:
        """Where it is."""
        return INTERCEPTION_SECRET if self is Ca.INTERCEPTION else SERVING_SECRET


@dataclass(frozen=True)
class Outlook:
    """How a CA stands, and what comes next.

    Attributes:
        ca: Which one.
        where: Its Secret, as people call it.
        rotation: None where it can't be used.
        now: When it was looked at, UTC.
        agents_started: When each injected pod that still runs was made, UTC.
        problems: Why it can't be used.
        held_by: What holds the next step.
        is_elsewhere: Somebody else keeps such certificates, and it is not needed.
    """

    ca: Ca
    where: str
    rotation: Rotation | None
    now: datetime
    agents_started: Sequence[datetime] = ()
    problems: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()
    is_elsewhere: bool = False

    @property
    def next_step(self) -> RotationStep | None:
        """What comes next; None where the CA can't be used."""
        return None if self.rotation is None else NEXT[self.rotation.phase]


@dataclass(frozen=True)
class _Reading:
    """A CA as it is in the cluster."""

    stored: StoredSecret | None
    known: KnownRoots
    rotation: Rotation | None
    verdict: Verdict
    problems: tuple[str, ...]


class RotationDesk:
    """Reads and writes the CAs of one cluster's operator."""

    def __init__(
        self, api: ApiServer, namespace: str, clock: Clock, random_bytes: RandomBytes
    ) -> None:
        """Take the cluster.

        Args:
            api: Spoken to with the person's own rights.
            namespace: The operator's.
            clock: By its wall clock certificates begin and end.
            random_bytes: For serial numbers.
        """
        self._api = api
        self._secrets = SecretStore(api, namespace)
        self._record = RootsRecord(api, namespace)
        self._clock = clock
        self._random_bytes = random_bytes

    async def outlook(self, ca: Ca) -> Outlook:
        """Look how a CA stands.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        reading, now = await self._read(ca), wall_time(self._clock)
        where = self._secrets.where(ca.secret)
        if reading.verdict is Verdict.USE and reading.rotation is not None:
            around = await self._around(ca, reading)
            held_by = holds(NEXT[reading.rotation.phase], reading.rotation, around)
            started = around.agents_started
            return Outlook(ca, where, reading.rotation, now, started, held_by=held_by)
        if ca is Ca.SERVING and reading.verdict is Verdict.MAKE:
            served = await self._secrets.read(OPERATOR_SECRET)
            if served is not None and served.issuer:
                return Outlook(ca, where, None, now, is_elsewhere=True)
        awaited = ("is not there yet: the operator's leader makes it when it runs",)
        return Outlook(ca, where, None, now, problems=reading.problems or awaited)

    async def take(self, ca: Ca, step: RotationStep | None, *, force: bool = False) -> RotationStep:
        """Take a step of a rotation; returns which.

        Args:
            ca: Which CA's.
            step: None: the one that comes next.
            force: Take it whatever holds it.

        Raises:
            BadRequest: It is held, or not this step's turn.
            Unavailable: The API server can't be reached, or refuses.
        """
        for _ in range(_TRIES):
            reading = await self._read(ca)
            if reading.verdict is not Verdict.USE or not (reading.stored and reading.rotation):
                raise _refused("; ".join(reading.problems) or "there is no CA yet")
            wanted = step or NEXT[reading.rotation.phase]
            around = await self._around(ca, reading)
            moved = self._moved(wanted, reading.rotation, around, force=force)
            try:
                await self._save(ca, reading, moved)
            except Conflict:
                continue
            return wanted
        raise _refused(f"{self._secrets.where(ca.secret)} is written by somebody else all the time")

    async def replace(self, ca: Ca, *, force: bool = False) -> str:
        """Give up a root that is lost, for a new one or for what somebody put in its place.

        Args:
            ca: Which CA.
            force: Also where nothing is wrong with it: its key has been stolen.

        Returns:
            What was done, for people.

        Raises:
            BadRequest: Nothing is wrong with the CA, or somebody else writes it.
            Unavailable: The API server can't be reached, or refuses.
        """
        for _ in range(_TRIES):
            reading = await self._read(ca)
            if reading.rotation is not None and reading.verdict is Verdict.HOLD:
                await self._record.write(ca.secret, reading.rotation.roots)
                return f"accepted the root {fingerprint(reading.rotation.old.root)}"
            self._check_replaceable(ca, reading, force=force)
            now = wall_time(self._clock)
            root = make_root(new_key(), now, self._random_bytes, ca.kind)
            try:
                await self._save(ca, reading, steady(root, ca.kind, now))
            except Conflict:
                continue
            return f"made the root {fingerprint(root.root)}"
        raise _refused(f"{self._secrets.where(ca.secret)} is written by somebody else all the time")

    def _check_replaceable(self, ca: Ca, reading: _Reading, *, force: bool) -> None:
        if reading.stored is not None and reading.stored.issuer:
            raise _refused(
                f"cert-manager's Certificate {reading.stored.issuer!r} writes the Secret: have it "
                "issued anew"
            )
        expired = reading.rotation is not None and reading.rotation.signer.end <= wall_time(
            self._clock
        )
        if reading.verdict is Verdict.USE and not (force or expired):
            raise _refused(
                "nothing is wrong with it: `remora ca rotate` replaces it without a restart"
            )

    async def _save(self, ca: Ca, reading: _Reading, made: Rotation) -> None:
        """Write the record before the Secret: no replica may take a new root for a stranger's.

        And after it: a leader that looked between the two has written what it saw.
        """
        known = reading.known.with_roots(made.roots)
        await self._record.write(ca.secret, known.roots)
        if reading.stored is None:
            await self._secrets.create(ca.secret, secret_data(made))
        else:
            await self._secrets.save(reading.stored, secret_data(made))
        await self._record.write(ca.secret, made.roots)

    async def _read(self, ca: Ca) -> _Reading:
        stored = await self._secrets.read(ca.secret)
        known = await self._record.read(ca.secret)
        rotation: Rotation | None = None
        unfit: tuple[str, ...] = ()
        try:
            if stored is not None:
                now = wall_time(self._clock)
                rotation = read_rotation(stored.data, now, ca.kind, where="", is_new=False)
        except ConfigError as error:
            unfit = tuple(str(problem).lstrip(":, ") for problem in error.problems)
        found = Found(stored is not None, rotation, unfit, known, None, is_made_here=True)
        judgement = judge(found)
        return _Reading(stored, known, rotation, judgement.verdict, judgement.problems)

    async def _around(self, ca: Ca, reading: _Reading) -> Surroundings:
        issuer = "" if reading.stored is None else reading.stored.issuer
        now = wall_time(self._clock)
        if ca is Ca.SERVING or reading.rotation is None:
            return Surroundings(now, (), (), SERVING_LIFE, issuer)
        pods = await injected_pods(self._api)
        states = await trust_map_states(self._api)
        version = published_version(reading.rotation.roots)
        lagging = [name for name, one in states.items() if one.is_ours and one.roots != version]
        started = tuple(pod.created for pod in pods)
        return Surroundings(now, started, lagging, INTERMEDIATE_LIFE, issuer)

    def _moved(
        self, step: RotationStep, rotation: Rotation, around: Surroundings, *, force: bool
    ) -> Rotation:
        now, kind = around.now, rotation.kind
        against = () if force or step is RotationStep.ABANDON else holds(step, rotation, around)
        if against and step is NEXT[rotation.phase]:
            raise _refused("; ".join(against))
        match step:
            case RotationStep.BEGIN:
                new = make_root(new_key(), now, self._random_bytes, kind)
                return begin(rotation, new, now, self._random_bytes)
            case RotationStep.SWITCH:
                return switch(rotation, now, force=force)
            case RotationStep.RETIRE:
                started = around.agents_started
                return retire(rotation, now, started, longest=around.longest, force=force)
            case RotationStep.ABANDON:
                return abandon(rotation, now)


def _refused(what: str) -> BadRequest:
    return BadRequest(what, status=409, code=REFUSED)
