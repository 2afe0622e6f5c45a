# SPDX-License-Identifier: Apache-2.0
"""Who holds the root key: seals that open it at start. Nothing here touches the key material of a KMS key."""
