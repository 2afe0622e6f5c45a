# SPDX-License-Identifier: Apache-2.0
"""What a server tells those who watch over it: whether it is ready, its metrics, its traces. It changes nothing."""
