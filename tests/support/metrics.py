# SPDX-License-Identifier: Apache-2.0
"""What a server's metrics say, as Prometheus' own parser reads them."""

import re
import time
from collections.abc import Callable
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from servers import Program


def url(server: Program) -> str:
    """Of the metrics of a server that was started with ``--metrics-port``."""
    found = re.findall(r"^metrics: (\S+)$", server.stdout.read_text(), re.MULTILINE)
    return str(found[-1])


class Scrape:
    """One scrape. ``names`` are of the families and their samples."""

    def __init__(self, server: Program) -> None:
        with urlopen(url(server), timeout=10) as answer:
            self.text = answer.read().decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples = [sample for family in self.families for sample in family.samples]
        self.names = {sample.name for sample in self.samples} | {family.name for family in self.families}

    def value(self, name: str, **labels: str) -> float:
        """The sum of what bears these labels."""
        chosen = [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(chosen)


def until(server: Program, fits: Callable[[Scrape], bool]) -> Scrape:
    """The first scrape that fits; processes tell each other once a second."""
    deadline = time.monotonic() + 20
    while True:
        scrape = Scrape(server)
        if fits(scrape):
            return scrape
        assert time.monotonic() < deadline, scrape.text
        time.sleep(0.2)
