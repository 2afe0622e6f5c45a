# SPDX-License-Identifier: Apache-2.0
"""``python -m keyquorum`` is the command ``keyquorum``."""

from keyquorum.cli import main

if __name__ == "__main__":  # processes that are spawned import this module too
    main()
