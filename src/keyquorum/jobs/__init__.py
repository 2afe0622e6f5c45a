# SPDX-License-Identifier: Apache-2.0
"""What happens by itself when its time comes, as the system principal and on the request path like all else."""
