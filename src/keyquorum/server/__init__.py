# SPDX-License-Identifier: Apache-2.0
"""The server: sockets and HTTP in ``protocol``, group commit of audit records, client addresses behind proxies.

Nothing here knows an operation, a key or a signature: a request goes in as bytes and an ``Answer`` comes out.
"""
