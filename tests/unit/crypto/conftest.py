# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the crypto tests."""

from openssl import openssl

__all__ = ["openssl"]
