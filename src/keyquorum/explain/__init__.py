# SPDX-License-Identifier: Apache-2.0
"""Why something is allowed, or refused: the evaluator is asked as a request would ask it, and its decision put into
words, with the statement behind it. It decides nothing and changes nothing."""
