"""The README's own commands: what it shows is what happens."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.fixtures.gateways import KEY, Gateway, Json

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NAMELESS = "### Customers without an id"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_readme_give_what_it_prints(gateway: Gateway) -> None:
    beginning = README[README.index("export TALLYGATE_KEY") - 10 :]
    story = beginning[: beginning.index("## The HTTP API")]
    prelude = beginning[: beginning.index("## A team with seats")]
    switches = README[README.index("### Plans that switch") : README.index(NAMELESS)]
    nameless = README[README.index(NAMELESS) : README.index("### Balances by hand")]
    tokens = README[README.index("### Tokens of customers") : README.index("### Older clients")]
    assert _compared(gateway, story) == 5
    assert _compared(gateway, prelude + tokens) == 1
    assert _compared(gateway, prelude + switches) == 3
    assert _compared(gateway, prelude + nameless) == 1


def _compared(gateway: Gateway, story: str) -> int:
    """Run the commands of some blocks; return how many answers they were compared with."""
    output = ""
    prelude = ""
    compared = 0
    for kind, text in BLOCK.findall(story):
        if "export TALLYGATE_KEY" in text:
            prelude = text.replace("am_sk_test_the_key_it_printed", KEY)
            prelude = prelude.replace("http://127.0.0.1:8080", gateway.url)
        elif kind == "sh":
            script = prelude + text
            ran = subprocess.run(
                ["/bin/bash", "-euc", script],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            output = ran.stdout.strip().splitlines()[-1]
        elif kind == "json":
            assert _subset(json.loads(text), json.loads(output)) == [], output
            compared += 1
        elif kind == "sql":
            gateway.wait_for_writer()
            output = "\n".join("|".join(map(str, row)) for row in gateway.sql(text))
        elif kind == "text":
            assert text.strip() == output
            compared += 1
    return compared


def _subset(shown: Json, given: Json, path: str = "") -> list[str]:
    """Return where what is shown differs from what was given; keys left out are not compared."""
    if isinstance(shown, dict):
        return [
            line
            for key, value in shown.items()
            for line in _subset(value, given[key], f"{path}.{key}")
        ]
    return [] if shown == given else [f"{path}: {shown} is shown, {given} was given"]
