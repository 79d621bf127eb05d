"""What is learned once of a route's function is what FastAPI would learn each time, and no more is shared than that."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.dependencies import utils
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from collector.audit.app import create_app
from tests.audit.conftest import Parts
from tests.audit.rows import Clock, patient
from tests.support import routes_once

Number = Annotated[int, Query(ge=1)]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions whose source is looked at in this test."""
    found: list[Any] = []

    def look(call: Any) -> Any:
        found.append(call)
        return learned(call)

    learned = routes_once._signature
    monkeypatch.setattr(routes_once, "_signature", look)
    return found


def asked(word: str, default: Any = 5) -> APIRouter:
    """A route that closes over what differs."""
    router = APIRouter()

    def said() -> str:
        return word

    @router.get("/{name}")
    def answer(name: str, number: Number = 1, other: Any = default) -> dict[str, Any]:
        return {"word": said(), "name": name, "number": number, "other": other}

    return router


def app_of(router: APIRouter) -> TestClient:
    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


def test_the_api_describes_itself_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert utils.analyze_param is routes_once.analyze

    def described() -> dict[str, object]:
        engine = create_async_engine("sqlite+aiosqlite://")
        return create_app(engine, Parts(), CollectorRegistry(), patient(), Clock()).openapi()

    first, again = described(), described()
    monkeypatch.setattr(utils, "_get_signature", routes_once._signature)
    monkeypatch.setattr(utils, "analyze_param", routes_once._analyze)
    assert first == again == described()


def test_each_application_answers_by_what_its_own_routes_close_over(looked_at: list[Any]) -> None:
    one, other = app_of(asked("one")), app_of(asked("other"))
    assert one.get("/a?number=2").json() == {"word": "one", "name": "a", "number": 2, "other": 5}
    assert other.get("/b").json() == {"word": "other", "name": "b", "number": 1, "other": 5}
    assert [client.get("/a?number=0").status_code for client in (one, other)] == [422, 422]
    assert [call.__name__ for call in looked_at].count("answer") <= 1


def test_another_default_is_looked_at_anew() -> None:
    assert app_of(asked("w", 5)).get("/a").json()["other"] == 5
    assert app_of(asked("w", True)).get("/a").json()["other"] is True
    for word in ("one", "other"):
        assert app_of(asked("w", Depends(lambda word=word: word))).get("/a").json()["other"] == word
