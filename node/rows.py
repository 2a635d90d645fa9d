"""Rows that are due in tables, written many at a time, which costs less than one by one."""

from typing import Any

from sync.database import Connection

Row = tuple[Any, ...]


class Rows:
    """Collects rows, and writes them in the order in which their statements were first used."""

    def __init__(self, db: Connection) -> None:
        """Write on a connection, in its running transaction."""
        self._db = db
        self._statements: dict[tuple[str, int], str] = {}
        self._due: dict[str, list[Row]] = {}

    def add(self, table: str, row: Row) -> None:
        """Let a row take the place of the one with its key; a table may come with its columns."""
        statement = self._statements.get((table, len(row)))
        if statement is None:
            marks = ", ".join("?" * len(row))
            statement = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"
            self._statements[table, len(row)] = statement
        self.run(statement, row)

    def run(self, statement: str, parameters: Row) -> None:
        """Let a statement run with the others."""
        self._due.setdefault(statement, []).append(parameters)

    def write(self) -> None:
        """Write all that is due."""
        for statement, rows in self._due.items():
            self._db.executemany(statement, rows)
        self._due.clear()
