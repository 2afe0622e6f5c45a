# SPDX-License-Identifier: Apache-2.0
"""Runs a server until it is told to stop: socket, service, uvicorn, one process or several."""

import functools
import logging
import os
import shlex
import signal
import socket
import sys
import threading
import time

import msgspec
import uvicorn
from uvicorn.supervisors import Multiprocess

from keyquorum.app import Service
from keyquorum.config import Settings, is_loopback
from keyquorum.layout import DataDirectory, Endpoint
from keyquorum.server import development
from keyquorum.server.asgi import App
from keyquorum.server.front import Limits
from keyquorum.server.protocol import uvicorn_options

_BACKLOG = 2048


def run(settings: Settings, dev_hosts: frozenset[str] = frozenset()) -> None:
    """Serve. Raises what ``Service`` raises, and OSError if the address cannot be had, before anything is served."""
    os.umask(0o077)
    _log_to_stderr()
    listener = _listen(settings)
    url = _url(settings.host, listener.getsockname()[1])
    service = Service(settings)
    if settings.data is not None:
        _remember(DataDirectory(settings.data), Endpoint(url, settings.account, settings.region))
    _announce(service, url)
    if settings.workers == 1:
        app = _app(service, dev_hosts)
        uvicorn.Server(_config(lambda: app)).run(sockets=[listener])
    else:
        # Each worker opens the data directory for itself; this process only watches over them.
        service.close()
        config = _config(functools.partial(_worker, settings, os.getpid()), workers=settings.workers)
        Multiprocess(config, sockets=[listener]).run()


def _worker(settings: Settings, supervisor: int) -> App:
    os.umask(0o077)
    _log_to_stderr()
    threading.Thread(target=_end_with, args=(supervisor,), name="keyquorum-parent", daemon=True).start()
    return _app(Service(settings))


def _end_with(parent: int) -> None:
    """Stop this worker when the process that watches over it has died: nobody could stop or replace it any more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _app(service: Service, dev_hosts: frozenset[str] = frozenset()) -> App:
    routes = development.routes(service, dev_hosts) if service.settings.development else []
    return App(service.pipeline, Limits(), service.settings.trusted_proxies, service.start, service.stop, routes)


def _config(factory: object, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        factory,  # type: ignore[arg-type] # with factory=True it is a callable that makes the app
        factory=True,
        workers=workers,
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        **uvicorn_options(Limits()),
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    listener.set_inheritable(True)
    return listener


def _url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _remember(directory: DataDirectory, endpoint: Endpoint) -> None:
    draft = directory.endpoint.with_name(f".{directory.endpoint.name}.{os.urandom(8).hex()}")
    draft.write_bytes(msgspec.json.encode(endpoint))
    draft.replace(directory.endpoint)


def _announce(service: Service, url: str) -> None:
    settings = service.settings
    lines = [f"keyquorum is listening on {url} (account {settings.account}, Region {settings.region})"]
    if settings.development:
        lines += [
            "",
            "  DEVELOPMENT MODE: NOTHING IS KEPT AND NOBODY IS KEPT OUT.",
            "  Everything is in memory, no audit record is written, and requests that are unsigned or signed with an",
            "  unknown access key act as the root of the account. Never use it for a key that matters.",
            "",
            f"  export AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "
            f"AWS_REGION={settings.region}",
        ]
        if not is_loopback(settings.host):
            lines.append(f"  It listens on {settings.host}, which others can reach.")
    else:
        lines.append(f"data directory: {settings.data}")
        made = service.new_access_key
        if made is not None:
            lines += [
                "root access key of the account, the secret shown this once:",
                f"  {made.access_key_id}  {service.keyring.secret_of(made)}",
            ]
        lines.append(
            f'next, in another shell: eval "$(keyquorum env --data {shlex.quote(str(settings.data))})"'
            " && aws kms create-key"
        )
        if not is_loopback(settings.host):
            lines.append("WARNING: plain HTTP on an address that others can reach; put TLS in front of it")
    print("\n".join(lines), flush=True)  # noqa: T201 - what is running, for whoever started it


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
