"""`meshscribe show`: one exchange, for people."""

from __future__ import annotations

from typing import Annotated

import typer

from collector.commands import completion, options


def show(
    id: Annotated[str, typer.Argument(help="An exchange's id.", show_default=False, autocompletion=completion.ids)],  # noqa: A002
    text: Annotated[bool, typer.Option("--text", help="Only what was said: the messages, by role.")] = False,
    revision: Annotated[int | None, typer.Option(min=0, help="This revision; the newest if not said.")] = None,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Shows what an exchange was: who asked whom for what, what came back, what it used, and what is not known of it.

    **Examples**

    - `meshscribe show ID`

    - `meshscribe show ID --text`: the conversation, ready to read

    - `meshscribe query ID -o json`: the whole record
    """
    import msgspec

    from collector.commands import exchange_view, screen
    from collector.commands.client import AuditClient
    from collector.commands.exits import NothingThereError
    from collector.commands.query import segment

    with AuditClient(url) as api:
        path = f"/v1/exchanges/{segment(id)}"
        record = msgspec.json.decode(api.get(path, {"revision": revision}).content, type=dict[str, object])
        out = screen.console()
        if not text:
            exchange_view.facts(out, record)
            return
        try:
            said = msgspec.json.decode(api.get(f"{path}/conversation", {"revision": revision}).content, type=dict[str, object])
        except NothingThereError:
            said = exchange_view.answers(record)
        exchange_view.conversation(out, said)
