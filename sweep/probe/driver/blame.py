"""Whether how a rung broke is the machine's doing: the cause rules that travel with the driver, by their own order.

The rules are those that the access point classifies by. A machine that they blame is left to HTCondor's retries; all
other causes are verdicts, and are not drawn here.
"""

from __future__ import annotations

import json
import pkgutil
import re
from typing import Any, Dict, Iterable, Optional

# Beside this module, in the archive: `aborts`, the signals that a program sends to itself; `rule`, rows of id, rungs,
# texts, pattern, machine; `crash`, rows of id, rungs, signals (none: any), machine.
RULES = "blame.json"

_ESCAPES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


def machine_at_fault(rung: str, message: str, stderr: str) -> Optional[str]:
    """The id of the rule that blames the machine for a rung's failure; None if none does, or another comes first.

    The rung's own message comes before what the probe wrote, as in classification.
    """
    rules = _of_rung("rule", rung)
    found = _first(rules, message) or _first(_told(rules), stderr)
    return _blaming(found)


def machine_at_fault_for_crash(rung: str, signal_name: str, stderr: str) -> Optional[str]:
    """The same for a rung that a signal ended: a program that ended itself has last words, which come first."""
    found = None
    if signal_name in load()["aborts"]:
        found = _first(_told(_of_rung("rule", rung)), stderr)
    for rule in _of_rung("crash", rung):
        if found is None and (not rule["signals"] or signal_name in rule["signals"]):
            found = rule
    return _blaming(found)


def load() -> Dict[str, Any]:
    """The rules that were packed with the driver; none where it was packed without."""
    try:
        packed = pkgutil.get_data(__package__ or "", RULES)
    except OSError:
        packed = None
    rules: Dict[str, Any] = json.loads(packed.decode("utf-8")) if packed else {"aborts": [], "rule": [], "crash": []}
    return rules


def _of_rung(table: str, rung: str) -> Any:
    return [rule for rule in load()[table] if rung in rule["rungs"]]


def _told(rules: Iterable[Any]) -> Any:
    """The rules whose words are no failure of a healthy program's standard error."""
    return [rule for rule in rules if rule["texts"] == "all"]


def _first(rules: Iterable[Any], text: str) -> Any:
    text = _ESCAPES.sub("", text)
    return next((rule for rule in rules if re.search(rule["pattern"], text, flags=re.MULTILINE)), None)


def _blaming(rule: Any) -> Optional[str]:
    return str(rule["id"]) if rule is not None and rule["machine"] else None
