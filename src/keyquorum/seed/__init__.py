# SPDX-License-Identifier: Apache-2.0
"""The seed file: what is there once a server has started. It makes what is absent, and changes nothing."""
