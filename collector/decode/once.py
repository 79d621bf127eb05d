"""A value that is made at the first look. `functools.cached_property` without the lock that it takes before Python 3.12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - it is used as a decorator
    """Decorates a method without arguments. Its value stands in the instance's dict afterwards, where no descriptor is asked any more."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        value = instance.__dict__[self._make.__name__] = self._make(instance)
        return value
