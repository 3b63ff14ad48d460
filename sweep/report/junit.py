"""junit.xml: the sweep as a test report, for the many programs that show one. A tuple is a test case.

What is inconclusive or was settled without a job is skipped: a test that was not run has not failed.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from sweep.model import Verdict
from sweep.report import table
from sweep.schema import Outcome, Outcomes


def render(outcomes: Outcomes) -> str:
    """The document, with one suite for each framework."""
    root = Xml.Element("testsuites", name=f"sweep {outcomes.sweep}")
    for framework, part in table.parts(outcomes).items():
        cases = part.tuples
        suite = Xml.SubElement(
            root,
            "testsuite",
            name=framework,
            timestamp=outcomes.created.isoformat(),
            tests=str(len(cases)),
            failures=str(sum(map(_failed, cases))),
            skipped=str(sum(map(_skipped, cases))),
            errors="0",
        )
        suite.extend(map(_case, cases))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _skipped(outcome: Outcome) -> bool:
    return not outcome.submitted or outcome.verdict is Verdict.INCONCLUSIVE


def _failed(outcome: Outcome) -> bool:
    return not _skipped(outcome) and outcome.verdict is not Verdict.WORKS


def _case(outcome: Outcome) -> Xml.Element:
    environment = outcome.environment.id
    seconds = f"{outcome.run_seconds or 0:.1f}"
    case = Xml.Element("testcase", classname=environment, name=outcome.id, time=seconds)
    if not (_skipped(outcome) or _failed(outcome)):
        return case
    how = "" if outcome.submitted else "settled without a job: "
    told = Xml.SubElement(case, "skipped" if _skipped(outcome) else "failure", message=f"{how}{outcome.reason}")
    told.set("type", outcome.cause.value)
    told.text = f"{table.where(outcome.evidence)}: {outcome.evidence.excerpt}"
    return case
