# SPDX-License-Identifier: Apache-2.0
"""Who may do what: policies, conditions and grants. Pure: values and one ``now`` in, a decision out."""
