# SPDX-License-Identifier: Apache-2.0
"""Numbers, dates, truth values, bytes and addresses."""

from policy_suite import IAM, OPERATORS, C, Page, condition

NUMERIC = Page(IAM, OPERATORS, "Numeric condition operators")
DATE = Page(IAM, OPERATORS, "Date condition operators")
BOOL = Page(IAM, OPERATORS, "Boolean condition operators")
BINARY = Page(IAM, OPERATORS, "Binary condition operators")
ADDRESS = Page(IAM, OPERATORS, "IP address condition operators")
WHEN = "2026-03-01T12:00:00Z"

ROWS = [
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/days", "365"), {"aws:PrincipalTag/days": "365"}, True),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/days", 365), {"aws:PrincipalTag/days": "365"}, True),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/days", "365.0"), {"aws:PrincipalTag/days": "365"}, True),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/days", "3.65e2"), {"aws:PrincipalTag/days": "365"}, True),
    condition(
        NUMERIC,
        C("NumericEquals", "aws:PrincipalTag/n", "9007199254740993"),
        {"aws:PrincipalTag/n": "9007199254740992"},
        False,
    ),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/n", "-1"), {"aws:PrincipalTag/n": "-1"}, True),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/n", "1"), {"aws:PrincipalTag/n": "one"}, False),
    condition(NUMERIC, C("NumericEquals", "aws:PrincipalTag/n", "1"), {}, False),
    condition(NUMERIC, C("NumericNotEquals", "aws:PrincipalTag/n", "1"), {"aws:PrincipalTag/n": "2"}, True),
    condition(NUMERIC, C("NumericNotEquals", "aws:PrincipalTag/n", "1"), {"aws:PrincipalTag/n": "1.00"}, False),
    condition(NUMERIC, C("NumericNotEquals", "aws:PrincipalTag/n", "1"), {}, True),
    condition(NUMERIC, C("NumericLessThan", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "9"}, True),
    condition(NUMERIC, C("NumericLessThan", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "10"}, False),
    condition(NUMERIC, C("NumericLessThan", "aws:PrincipalTag/n", "10"), {}, False),
    condition(NUMERIC, C("NumericLessThanEquals", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "10"}, True),
    condition(NUMERIC, C("NumericLessThanEquals", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "11"}, False),
    condition(NUMERIC, C("NumericGreaterThan", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "11"}, True),
    condition(NUMERIC, C("NumericGreaterThan", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "9"}, False),
    condition(NUMERIC, C("NumericGreaterThan", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "10"}, False),
    condition(NUMERIC, C("NumericGreaterThanEquals", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "10"}, True),
    condition(
        NUMERIC, C("NumericGreaterThanEquals", "aws:PrincipalTag/n", "10"), {"aws:PrincipalTag/n": "9.99"}, False
    ),
    condition(DATE, C("DateGreaterThan", "aws:TokenIssueTime", "2020-01-01T00:00:01Z"), {}, False),
    condition(
        DATE, C("DateGreaterThan", "aws:TokenIssueTime", "2020-01-01T00:00:01Z"), {"aws:TokenIssueTime": WHEN}, True
    ),
    condition(DATE, C("DateLessThan", "aws:CurrentTime", "2026-03-01T12:00:01Z"), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateLessThan", "aws:CurrentTime", WHEN), {"aws:CurrentTime": WHEN}, False),
    condition(DATE, C("DateLessThanEquals", "aws:CurrentTime", WHEN), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateGreaterThanEquals", "aws:CurrentTime", WHEN), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateGreaterThanEquals", "aws:CurrentTime", "2027"), {"aws:CurrentTime": WHEN}, False),
    condition(DATE, C("DateEquals", "aws:CurrentTime", "2026-03-01T13:00:00+01:00"), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateEquals", "aws:CurrentTime", "2026-03-01"), {"aws:CurrentTime": WHEN}, False),
    condition(DATE, C("DateEquals", "aws:CurrentTime", "1772366400"), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateEquals", "aws:EpochTime", WHEN), {"aws:EpochTime": "1772366400"}, True),
    condition(DATE, C("DateEquals", "aws:EpochTime", 1772366400), {"aws:EpochTime": "1772366400"}, True),
    condition(DATE, C("DateNotEquals", "aws:CurrentTime", WHEN), {"aws:CurrentTime": "2026-03-01T12:00:01Z"}, True),
    condition(DATE, C("DateNotEquals", "aws:CurrentTime", WHEN), {"aws:CurrentTime": WHEN}, False),
    condition(DATE, C("DateNotEquals", "aws:TokenIssueTime", WHEN), {}, True),
    condition(DATE, C("DateGreaterThan", "aws:CurrentTime", "2026"), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateGreaterThan", "aws:CurrentTime", "2026-03"), {"aws:CurrentTime": WHEN}, True),
    condition(DATE, C("DateLessThan", "aws:CurrentTime", WHEN), {"aws:CurrentTime": "yesterday"}, False),
    condition(BOOL, C("Bool", "aws:SecureTransport", "false"), {"aws:SecureTransport": "false"}, True),
    condition(BOOL, C("Bool", "aws:SecureTransport", "false"), {"aws:SecureTransport": "true"}, False),
    condition(BOOL, C("Bool", "aws:SecureTransport", False), {"aws:SecureTransport": "false"}, True),
    condition(BOOL, C("Bool", "aws:SecureTransport", "True"), {"aws:SecureTransport": "true"}, True),
    condition(BOOL, C("Bool", "aws:MultiFactorAuthPresent", "false"), {}, False),
    condition(BOOL, C("BoolIfExists", "aws:MultiFactorAuthPresent", "false"), {}, True),
    condition(
        BOOL,
        C("BoolIfExists", "aws:MultiFactorAuthPresent", "false"),
        {"aws:MultiFactorAuthPresent": "true"},
        False,
    ),
    condition(BOOL, C("Bool", "aws:MultiFactorAuthPresent", "true"), {"aws:MultiFactorAuthPresent": "yes"}, False),
    condition(BINARY, C("BinaryEquals", "aws:PrincipalTag/b", "QmluYXJ5"), {"aws:PrincipalTag/b": "QmluYXJ5"}, True),
    condition(BINARY, C("BinaryEquals", "aws:PrincipalTag/b", "QmluYXJ5"), {"aws:PrincipalTag/b": "QmluYXJ6"}, False),
    condition(BINARY, C("BinaryEquals", "aws:PrincipalTag/b", "QmluYXJ5"), {}, False),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "203.0.113.7"}, True),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "203.0.114.7"}, False),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.7"), {"aws:SourceIp": "203.0.113.7"}, True),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.7"), {"aws:SourceIp": "203.0.113.8"}, False),
    condition(
        ADDRESS,
        C("IpAddress", "aws:SourceIp", "2001:DB8:1234:5678::/64"),
        {"aws:SourceIp": "2001:db8:1234:5678::9"},
        True,
    ),
    condition(
        ADDRESS, C("IpAddress", "aws:SourceIp", "2001:DB8:1234:5678::/64"), {"aws:SourceIp": "203.0.113.7"}, False
    ),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "::ffff:203.0.113.7"}, True),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "0.0.0.0/0"), {"aws:SourceIp": "2001:db8::1"}, False),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.9/24"), {"aws:SourceIp": "203.0.113.7"}, True),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.0/24"), {}, False),
    condition(
        ADDRESS, C("IpAddress", "aws:SourceIp", "10.0.0.0/8", "203.0.113.0/24"), {"aws:SourceIp": "203.0.113.7"}, True
    ),
    condition(ADDRESS, C("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "203.0.113.7"}, False),
    condition(ADDRESS, C("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "198.51.100.1"}, True),
    condition(ADDRESS, C("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), {}, True),
    condition(
        ADDRESS, C("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", "203.0.113.0/24"), {"aws:SourceIp": "10.1.1.1"}, False
    ),
    condition(ADDRESS, C("IpAddress", "aws:SourceIp", "203.0.113.0/24"), {"aws:SourceIp": "203.0.113"}, False),
]
