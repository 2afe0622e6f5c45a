# SPDX-License-Identifier: Apache-2.0
"""What a browser makes of a page's forms: the fields that it would send if a button were pressed, and what elements
there are. Content of ``<template>`` is no part of the page."""

from html.parser import HTMLParser
from typing import NamedTuple

Attributes = dict[str, str]


class Form(NamedTuple):
    """``fields`` are those that every button sends; ``buttons``: the text of each, and its own field."""

    action: str
    method: str
    fields: list[tuple[str, str]]
    buttons: dict[str, list[tuple[str, str]]]

    def pressed(self, button: str) -> list[tuple[str, str]]:
        return [*self.fields, *self.buttons[button]]


class Read(HTMLParser):
    """``elements``: every element with its attributes; ``forms``: those of the page, in its order; ``text``: what is to
    be read."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, Attributes]] = []
        self.forms: list[Form] = []
        self.text = ""
        self._templates = 0
        self._open: list[tuple[str, Attributes]] = []
        self._chosen: str | None = None
        self._first: str | None = None
        self._content = ""
        self.feed(page)
        self.close()

    def form(self, action: str) -> Form:
        """The form that is posted there, fragment and query apart."""
        posted = [form for form in self.forms if form.method == "post"]
        return next(form for form in posted if form.action.split("#")[0].split("?")[0] == action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "template":
            self._templates += 1
        elif tag == "form":
            self.forms.append(Form(attributes.get("action", ""), attributes.get("method", "get"), [], {}))
        elif tag == "input":
            self._input(attributes)
        elif tag in ("textarea", "button", "option", "select"):
            if tag == "select":
                self._chosen = self._first = None
            self._open.append((tag, attributes))
            if tag != "select":
                self._content = ""

    def _input(self, attributes: Attributes) -> None:
        ticked = attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes
        if "name" in attributes and ticked and attributes.get("type") != "file":
            self._add(attributes["name"], attributes.get("value", ""))

    def _add(self, name: str, value: str) -> None:
        if self.forms and not self._templates:
            self.forms[-1].fields.append((name, value))

    def handle_data(self, data: str) -> None:
        self._content += data
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._templates -= 1
        if not self._open or self._open[-1][0] != tag:
            return
        _, attributes = self._open.pop()
        if tag == "textarea":
            self._add(attributes["name"], self._content.removeprefix("\n"))
        elif tag == "option":
            value = attributes.get("value", self._content.strip())
            self._first = value if self._first is None else self._first
            self._chosen = value if "selected" in attributes else self._chosen
        elif tag == "select":
            chosen = self._first if self._chosen is None else self._chosen
            if "name" in attributes and chosen is not None:
                self._add(attributes["name"], chosen)
        elif tag == "button" and self.forms and not self._templates:
            own = [(attributes["name"], attributes.get("value", ""))] if "name" in attributes else []
            self.forms[-1].buttons[" ".join(self._content.split())] = own
