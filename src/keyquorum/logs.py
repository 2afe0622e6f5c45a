# SPDX-License-Identifier: Apache-2.0
"""The server's own log, on stderr: one line an entry, for people or as JSON, uvicorn's words and warnings among them.

What is logged while a request runs bears its ID. An entry is one line whatever a client sent: control characters are
escaped. Values of secrets are no business of a log, and nothing here looks into arguments or frames to find them.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

FORMATS: Final = ("human", "json")
LEVELS: Final = ("debug", "info", "warning", "error")

#: The ID of the request that this thread, or this callback of the loop, is about; empty where it is about none.
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")

# C0, DEL, C1 and the separators that some viewers break lines at; a traceback's own line ends are not the client's.
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_TRACEBACK: Final = {code: text for code, text in _ESCAPED.items() if code not in (ord("\n"), ord("\t"))}

# Their messages at a lower level than this are about themselves.
_QUIET: Final = ("uvicorn", "asyncio", "alembic", "sqlalchemy", "urllib3", "botocore", "boto3", "opentelemetry")


def configure(style: str = "human", level: str = "info") -> None:
    """Set up logging for this process, in place of what was set up before. ``style`` and ``level``: of ``FORMATS`` and
    ``LEVELS``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSON() if style == "json" else _Human())
    handler.addFilter(_identify)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(logging.WARNING, logging.getLogger().level))


def _identify(entry: logging.LogRecord) -> bool:
    entry.request_id = request_id.get()
    return True


def _message(entry: logging.LogRecord) -> str:
    return entry.getMessage().translate(_ESCAPED)


class _Human(logging.Formatter):
    def format(self, entry: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(entry.created, UTC).isoformat(sep=" ", timespec="milliseconds")[:-6]
        text = f"{when}Z {entry.levelname} {entry.name}: {_message(entry)}"
        about = entry.__dict__.get("request_id")
        if about and about not in text:
            text += f" (request {about})"
        if entry.exc_info:
            text += "\n" + self.formatException(entry.exc_info).translate(_TRACEBACK)
        return text


class _JSON(logging.Formatter):
    """An object a line: time (RFC 3339), level, logger, message; request_id, thread and exception where they say
    something."""

    def format(self, entry: logging.LogRecord) -> str:
        shown = {
            "time": datetime.fromtimestamp(entry.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": entry.levelname.lower(),
            "logger": entry.name,
            "message": entry.getMessage(),
            "process": entry.process,
            "thread": entry.threadName,
        }
        about = entry.__dict__.get("request_id")
        if about:
            shown["request_id"] = about
        if entry.exc_info:
            shown["exception"] = self.formatException(entry.exc_info)
        return json.dumps(shown)
