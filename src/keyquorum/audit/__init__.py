# SPDX-License-Identifier: Apache-2.0
"""The audit log: records, the chain that binds them, the files, and what proves them whole (docs/audit.md)."""
