"""What says how to connect, which may hold a password: what of it may be said. Pure."""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


def unfit(dsn: str) -> str:
    """Say why nobody could connect by it, without a word of it; empty where it can be read."""
    try:
        given = conninfo_to_dict(dsn)
    except ProgrammingError:
        return "this is no `postgresql://…` and no `key=value …` that libpq can read"
    # Else a part of the password would be looked up as a host, and named where that fails.
    if any("@" in str(given.get(name, ""))[1:] for name in ("host", "port", "dbname")):
        return (
            "there is an @ behind the user: in a URL the password's own @, : and / are written "
            "%40, %3A and %2F, or it goes to REMORA_AGGREGATOR_DATABASE_PASSWORD_FILE"
        )
    ports = str(given.get("port", ""))
    if ports.replace(",", "").strip("0123456789"):
        return "the port is no number; a password stands between the user and an @"
    return ""


def place_of(dsn: str) -> str:
    """Say where the database is, and not who asks; of what `unfit` finds nothing wrong with."""
    given = conninfo_to_dict(dsn)
    host = given.get("host") or given.get("hostaddr") or "the default host"
    ports = str(given.get("port", ""))
    port = f":{ports}" if ports.strip(",") else ""
    name = f"database {given['dbname']}" if given.get("dbname") else "the default database"
    return f"PostgreSQL, {name} at {host}{port}"
