# SPDX-License-Identifier: Apache-2.0
"""The console: web pages for people, under ``/console``.

It is a client like any other. What a page shows, and what its buttons do, are signed requests of whoever is signed in,
which take the request path with its authorization and its audit; a page reaches nothing else of the server. It keeps
no state: a session is a temporary credential, sealed into the browser's cookie.
"""
