# SPDX-License-Identifier: Apache-2.0
"""``python -m keyquorum`` is the command ``keyquorum``."""

from keyquorum.cli import main

main()
