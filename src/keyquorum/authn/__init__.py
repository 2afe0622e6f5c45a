# SPDX-License-Identifier: Apache-2.0
"""Who sent this request: signatures, credentials and sessions. What the caller may do is decided in ``authz``."""
