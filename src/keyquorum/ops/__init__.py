# SPDX-License-Identifier: Apache-2.0
"""The operations, one module a family. A family decides nothing about access or key states and commits nothing."""
