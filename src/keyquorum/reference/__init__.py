# SPDX-License-Identifier: Apache-2.0
"""The reference of the API: what each of the operations is for, takes, answers, needs and refuses, and an example of it
that works. The console and the documentation site are written from it. It is data and text: it reaches no server.

    PAGES                       operation -> Page: purpose, family, request, response, states, permissions, errors,
                                example. Read-only, complete, grouped as in FAMILIES
    FAMILIES                    family -> operation -> purpose, in the order to show them
    Field                       a member: name, kind, type and limits in words, required, enum, pattern, about, parts
    COMMON, MEANINGS            error code -> meaning: those that any request may meet; all of them
    MADE                        the description of each key that was made for an example
    Example, Step               the example's members with ``${...}`` in them, and the calls that come before
    prepare(example, call)      makes what is needed through ``call(operation, members) -> members``; members to send
    steps(example)              the same as a generator, for who drives it otherwise
    boto3_program, cli_command, curl_command
                                (operation, members, endpoint, region) -> the same request as a Python program and as
                                commands for bash; without ``${...}`` they can be run as they are
    followers(operation)        what can follow, and ``carried`` what of a request and its answer goes along
"""

from keyquorum.reference.carrying import Follower, about_keys, carried, followers
from keyquorum.reference.examples import MADE, Example, Step
from keyquorum.reference.faults import COMMON, MEANINGS
from keyquorum.reference.pages import PAGES, Page
from keyquorum.reference.permissions import Permission
from keyquorum.reference.preparing import prepare, steps
from keyquorum.reference.purposes import FAMILIES
from keyquorum.reference.shapes import Field
from keyquorum.reference.snippets import boto3_program, cli_command, curl_command

__all__ = [
    "COMMON",
    "FAMILIES",
    "MADE",
    "MEANINGS",
    "PAGES",
    "Example",
    "Field",
    "Follower",
    "Page",
    "Permission",
    "Step",
    "about_keys",
    "boto3_program",
    "carried",
    "cli_command",
    "curl_command",
    "followers",
    "prepare",
    "steps",
]
