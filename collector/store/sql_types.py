"""Types of statements and of the rows that they find, where only the statement itself says which columns there are.

A value that is read by its name is whatever its column holds: of a damaged SQLite file a reader gets only what sqlite/damage.py lets
through. A value that is read by its number is an object, and has to be looked at before it is used.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Row, Select, TextClause

Condition = ColumnElement[bool] | TextClause  # what rows must fulfil
Statement = Select[*tuple[object, ...]]
FoundRow = Row[*tuple[object, ...]]
