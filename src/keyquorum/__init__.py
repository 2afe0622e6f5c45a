# SPDX-License-Identifier: Apache-2.0
"""keyquorum: a key management service on the AWS KMS wire protocol."""
