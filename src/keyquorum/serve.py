# SPDX-License-Identifier: Apache-2.0
"""Runs a server until it is told to stop: socket, service, uvicorn, one process or several."""

import asyncio
import dataclasses
import functools
import logging
import os
import shlex
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import uvicorn
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from keyquorum import hardening, logs, tls
from keyquorum.app import Service, accepted, open_database, open_root
from keyquorum.config import Settings, is_loopback
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import SealAway, SealWaits
from keyquorum.layout import DataDirectory, Endpoint, put_in_place
from keyquorum.observability.exposition import Exposition
from keyquorum.observability.readiness import routes as readiness_routes
from keyquorum.observability.serving import Common, make_descriptors
from keyquorum.observability.tracing import Tracing, is_configured
from keyquorum.seed.document import read as read_seed
from keyquorum.server import development
from keyquorum.server.asgi import App, OnDemand
from keyquorum.server.front import Core, Limits
from keyquorum.server.protocol import uvicorn_options
from keyquorum.server.runner import LOOP, Server, Supervisor
from keyquorum.server.sealed import SealedCore, SealedState, probes
from keyquorum.server.sealed import routes as sealed_routes
from keyquorum.server.workers import Workers

_BACKLOG = 2048
_DAY = 86_400.0

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve. Raises what ``Service`` raises, TLSError, HardeningError, and OSError if the address cannot be had, before
    anything is served."""
    logs.configure(settings.log_format, settings.log_level)
    _harden(settings, first=True)
    common = Common.of(settings)
    files = tls.files_of(settings)
    if files is not None:
        _live(files)
    listener = _listen(settings)
    url = _url(settings.host, listener.getsockname()[1], "http" if files is None else "https")
    bundle = None if files is None else tls.bundle_of(files)
    endpoint = Endpoint(url, settings.account, settings.region, None if bundle is None else str(bundle.absolute()))
    if settings.seed is not None:
        read_seed(settings.seed)  # before anything is made: one that is wrong leaves no trace
    root = _root(settings, listener, endpoint, common)
    service = Service(settings, root)
    if settings.data is not None:
        _remember(DataDirectory(settings.data), endpoint)
    _announce(service, url, common)
    if settings.workers == 1:
        app = _app(service, common)
        Server(_config(settings, lambda: app)).run(sockets=[listener])
    else:
        # Each worker opens the data directory for itself; this process only watches over them, and keeps the root key
        # for those that it starts later. It hands it over in the pipe through which they learn what to do.
        service.close()
        worker = functools.partial(_worker, settings, os.getpid(), root, common)
        Supervisor(_config(settings, worker), sockets=[listener]).run()


def _root(settings: Settings, listener: socket.socket, endpoint: Endpoint, common: Common) -> RootKey | None:
    """The root key; as long as its seal waits for somebody, or what holds the seal is away, a sealed server is run.
    None for a development server, which has one of its own. Raises what ``open_root`` does."""
    if settings.data is None:
        return None
    database = open_database(settings, create=True)
    try:
        try:
            return open_root(database, settings, create=True, attended=False)
        except (SealAway, SealWaits) as waits:
            state = SealedState(
                waits,
                functools.partial(accepted, database),
                functools.partial(open_root, database, settings, create=False, attended=False),
            )
        _remember(DataDirectory(settings.data), endpoint)
        print(f"keyquorum is sealed, and listening on {endpoint.url} ({state.reason})", flush=True)  # noqa: T201 - as below
        app = App(
            SealedCore(),
            _limits(settings),
            settings.trusted_proxies,
            lambda: _watch_certificate(tls.files_of(settings)),
            state.stop,
            [*sealed_routes(state), *probes(state)],
        )
        server = Server(_config(settings, lambda: app))
        state.start(functools.partial(setattr, server, "should_exit", True))
        with _exposed(common.while_sealed(lambda: state.reason)):
            # A descriptor of its own: uvicorn closes what it is given, and connections that come meanwhile shall wait.
            server.run(sockets=[listener.dup()])
        if state.failure is not None:
            raise state.failure
        return state.root
    finally:
        database.close()


@contextmanager
def _exposed(exposition: Exposition | None) -> Iterator[None]:
    if exposition is not None:
        exposition.start()
    try:
        yield
    finally:
        if exposition is not None:
            exposition.stop()


def _worker(settings: Settings, supervisor: int, root: RootKey | None, common: Common) -> App:
    logs.configure(settings.log_format, settings.log_level)
    _harden(settings, first=False)
    threading.Thread(target=_end_with, args=(supervisor,), name="keyquorum-parent", daemon=True).start()
    return _app(Service(settings, root, common.quotas), common)


def _end_with(parent: int) -> None:
    """Stop this worker when the process that watches over it has died: nobody could stop or replace it any more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _harden(settings: Settings, *, first: bool) -> None:
    """Whoever debugs against a development server may want to look into it, too."""
    os.umask(0o077)
    short = make_descriptors(settings.connections)
    if short is not None and first:
        _log.warning("%s", short)
    if settings.development:
        return
    hardening.keep_private()
    why = None if settings.memory_lock == "never" else hardening.lock_memory()
    if why is not None and settings.memory_lock == "always":
        raise hardening.HardeningError(f"--memory-lock always: {why}")
    if not first:
        return
    if why is not None:
        _log.info("memory is not locked, so that parts of it may be swapped: %s", why)
    if settings.data is not None and settings.data.is_dir():
        for sentence in hardening.close_to_others(settings.data):
            _log.warning("%s", sentence)


def _app(service: Service, common: Common) -> App:
    settings = service.settings
    routes: list[BaseRoute] = [*sealed_routes(None)]
    if settings.development:
        routes = [*development.routes(service, settings.dev_hosts)]
    tracing = Tracing(settings.otlp_endpoint) if is_configured(settings.otlp_endpoint) else None
    core: Core = service.pipeline
    if tracing is not None:
        tracing.watch(service.database)
        core = tracing.core(core)
    if settings.console:
        routes += _console(service, core, lambda: app.workers)

    def start() -> None:
        service.start()
        if exposition is not None:
            exposition.start()
        _watch_certificate(tls.files_of(settings))

    def stop() -> None:
        if exposition is not None:
            exposition.stop()
        service.stop()
        if tracing is not None:
            tracing.stop()

    app = App(
        core, _limits(settings), settings.trusted_proxies, start, stop, [*routes, *readiness_routes(service.readiness)]
    )
    exposition = common.exposition(service.running, service.readiness, app.workers)
    return app


def _console(service: Service, core: Core, workers: Callable[[], Workers]) -> list[BaseRoute]:
    def make() -> ASGIApp:
        from keyquorum.console.gateway import Gateway  # templates and pages: a server starts without them
        from keyquorum.console.pages import console_of

        region = service.settings.region
        gateway = Gateway(core, service.store, service.keyring, service.clock, region, workers)
        return console_of(gateway)

    return [
        Route("/console", lambda _: RedirectResponse("/console/", 308), methods=["GET"]),
        Mount("/console", OnDemand(make)),
    ]


def _limits(settings: Settings) -> Limits:
    return dataclasses.replace(Limits(), graceful_seconds=settings.shutdown_seconds, connections=settings.connections)


def _config(settings: Settings, factory: object) -> uvicorn.Config:
    files = tls.files_of(settings)
    return uvicorn.Config(
        factory,  # type: ignore[arg-type] # with factory=True it is a callable that makes the app
        factory=True,
        workers=settings.workers,
        loop=LOOP,
        lifespan="on",
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        ssl_context_factory=None if files is None else functools.partial(_context, files),
        **uvicorn_options(_limits(settings)),
    )


@functools.cache
def _live(files: tls.Files) -> tls.LiveContext:
    """The one of this process."""
    return tls.LiveContext(files)


def _context(files: tls.Files, *_: object) -> ssl.SSLContext:
    return _live(files)


def _watch_certificate(files: tls.Files | None) -> None:
    """Read the files of TLS anew at SIGHUP, and say once a day what clients will object to."""
    loop = asyncio.get_running_loop()

    def reload() -> None:
        if files is None:
            _log.warning("SIGHUP: there is nothing to read anew, since the server has no TLS")
            return
        try:
            _live(files).reload()
        except tls.TLSError as error:
            _log.error("SIGHUP: the TLS certificate stays as it was: %s", error)
        else:
            _log.info("SIGHUP: new connections are served with %s", _live(files).described())

    def look() -> None:
        if files is not None:
            for trouble in _live(files).troubles():
                _log.warning("%s", trouble)
            loop.call_later(_DAY, look)

    loop.add_signal_handler(signal.SIGHUP, reload)
    look()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    listener.set_inheritable(True)
    return listener


def _url(host: str, port: int, scheme: str) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound
    return f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"


def _remember(directory: DataDirectory, endpoint: Endpoint) -> None:
    put_in_place(directory.endpoint, msgspec.json.encode(endpoint))


def _announce(service: Service, url: str, common: Common) -> None:
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
        if settings.tls_cert is None and not is_loopback(settings.host):
            lines.append("WARNING: plain HTTP on an address that others can reach; put TLS in front of it")
    if settings.console:
        lines.append(f"console: {url}/console/ (a link that signs you in: keyquorum console login)")
    if common.listener is not None:
        host, port = common.listener.getsockname()[:2]
        lines.append(f"metrics: {_url(host, port, 'http')}/metrics")
    print("\n".join(lines), flush=True)  # noqa: T201 - what is running, for whoever started it
