# SPDX-License-Identifier: Apache-2.0
"""What is kept: engine, schema, one module per aggregate, migrations. Holds wrapped material only; decides nothing."""
