"""Below Flask: the ASGI entry point with the fast path of `/predict`, and the bridge to WSGI."""
