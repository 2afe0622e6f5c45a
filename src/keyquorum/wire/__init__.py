# SPDX-License-Identifier: Apache-2.0
"""Bytes to request structs and back, faults to bytes. Pure: no store, no keys, no clock, no decision about access."""
