"""Small readers of untrusted JSON: each gives the value if it has the expected shape, else None."""

Object = dict[str, object]


def text(value: object) -> str | None:
    """A string."""
    return value if isinstance(value, str) else None


def name(value: object, limit: int = 1024) -> str | None:
    """A string short enough to be a name."""
    return value if isinstance(value, str) and 0 < len(value) <= limit else None


def mapping(value: object) -> Object:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """An array, or an empty one."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Object]:
    """The objects of an array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
