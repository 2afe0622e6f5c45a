# SPDX-License-Identifier: Apache-2.0
"""Cryptographic providers and constructions over vetted libraries; no primitive is implemented here."""
