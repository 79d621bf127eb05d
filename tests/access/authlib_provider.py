"""An OpenID Connect provider that is not ours: Authlib's, in a thread."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running() -> Iterator[str]:
    """Its issuer. Whoever is named at its page is logged in."""
    import authlib.deprecate  # noqa: F401 - it sets a filter of its own when it is imported

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what Authlib will drop
        import oidc_provider_mock

        with oidc_provider_mock.run_server_in_thread(require_nonce=True) as server:
            yield f"http://localhost:{server.server_port}"
