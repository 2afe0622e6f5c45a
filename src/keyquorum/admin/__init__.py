# SPDX-License-Identifier: Apache-2.0
"""What the command line does beside serving: administering identities, explaining a decision, looking for trouble."""
