# SPDX-License-Identifier: Apache-2.0
"""Backups: all that is kept, in one encrypted file, which restores to any database (docs/adr/0021)."""
