"""Whether what a rung said is the machine's doing: the cause rules that travel with the driver, by their own order.

The rules are those that the access point classifies by. A machine that they blame is left to HTCondor's retries; all
other causes are verdicts, and are not drawn here.
"""

from __future__ import annotations

import json
import pkgutil
import re
from typing import Any, List, Optional

RULES = "blame.json"  # beside this module, in the archive; rows of id, rungs, texts, pattern, machine

_ESCAPES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


def machine_at_fault(rung: str, message: str, stderr: str) -> Optional[str]:
    """The id of the rule that blames the machine for a rung's failure; None if none does, or another comes first.

    The rung's own message comes before what the probe wrote, as in classification.
    """
    rules = [rule for rule in load() if rung in rule["rungs"]]
    told = [rule for rule in rules if rule["texts"] == "all"]
    for some, text in ((rules, message), (told, stderr)):
        text = _ESCAPES.sub("", text)
        for rule in some:
            if re.search(rule["pattern"], text, flags=re.MULTILINE):
                return str(rule["id"]) if rule["machine"] else None
    return None


def load() -> List[Any]:
    """The rules that were packed with the driver; none where it was packed without."""
    try:
        packed = pkgutil.get_data(__package__ or "", RULES)
    except OSError:
        packed = None
    return json.loads(packed.decode("utf-8")) if packed else []
