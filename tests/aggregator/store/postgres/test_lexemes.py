import sqlite3
from contextlib import closing

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remora_aggregator.store.postgres.lexemes import lexeme, tsvector

TEXTS = {
    "plain": "The quick brown fox, and the quick dog",
    "snake": "call_the_tool(my_argument=17)",
    "addresses": "write to a.b@example.com or see https://example.com/a/b?c=d-e",
    "numbers": "3.14 -12 1e9 0x1f v1.2.3-rc4",
    "german": "Größe, Straße und Übermut",
    "french": "Élève déjà vu, cœur naïf",
    "decomposed": "e\u0301le\u0300ve",
    "cyrillic": "Привет, МИР",
    "chinese": "你好\uff0c世界",
    "quotes": "it's \\ a \"quoted\" 'word' & | ! <-> :*",
    "signs": "± § € ½",
    "nothing": " \n\t-",
}


def _of_sqlite(text):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create virtual table words using fts5(text, detail='none')")
        connection.execute("create virtual table terms using fts5vocab(words, 'row')")
        connection.execute("insert into words values (?)", (text,))
        return {term for (term,) in connection.execute("select term from terms")}


@pytest.fixture
def kept(postgres):
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("create temporary table kept (words tsvector)")

        def keep(text):
            with connection.cursor() as cursor:
                cursor.execute("truncate kept")
                with cursor.copy("copy kept from stdin (format binary)") as copy:
                    copy.set_types(["bytea"])
                    copy.write_row([tsvector(text)])
                cursor.execute("select tsvector_to_array(words), words::text::tsvector = words "
                               "from kept")  # fmt: skip
                words, is_sound = cursor.fetchone()
                assert is_sound
                return words

        yield keep


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_words_are_those_that_sqlite_takes(kept, text):
    assert set(kept(text)) == _of_sqlite(text)


@given(text=st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_kept_and_found_by_each_of_its_words(kept, text):
    assert kept(text) == sorted(kept(text), key=str.encode)
    for word in kept(text):
        assert lexeme(word) == word


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, " ".join(f"word{number}" for number in range(200_000)), "é" * 300],
    ids=["one long word", "very many words", "a long word of two bytes a letter"],
)
def test_what_is_too_much_for_postgresql_is_cut(kept, text):
    found = kept(text)
    assert found
    assert max(len(word.encode()) for word in found) <= 255
    assert lexeme(text.split()[0]) in found
