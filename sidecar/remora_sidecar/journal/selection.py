"""Which calls of the journal somebody asks for. Pure."""

from dataclasses import dataclass

from remora.ids import DEFAULT_SESSION_ID


@dataclass(frozen=True, slots=True)
class JournalSelection:
    """Conditions that all have to hold; None where one is not asked for.

    Attributes:
        tracker_id: Calls of this tracker's sessions.
        sessions_only: Leave out calls of no session.
    """

    data_id: str | None = None
    combo_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    tracker_id: str | None = None
    sessions_only: bool = False

    def condition(self) -> tuple[str, dict[str, str]]:
        """Write it in SQL, with its named values."""
        parts: list[str] = []
        values: dict[str, str] = {}
        for name in ("data_id", "combo_id", "agent_id", "session_id", "tracker_id"):
            if (wanted := getattr(self, name)) is not None:
                parts.append(f"{name} = :{name}")
                values[name] = wanted
        if self.sessions_only:
            parts.append("session_id <> :no_session")
            values["no_session"] = DEFAULT_SESSION_ID
        return " AND ".join(parts) or "TRUE", values
