"""The cause rules against the words of the real frameworks, with the noise that they make besides."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from sweep import causes, places
from sweep.causes import CauseRules
from sweep.errors import SettingsError
from sweep.model import Cause, Rung
from sweep.tomlfile import read_toml, validated

DATA = tomllib.loads((Path(__file__).parent / "data" / "error_texts.toml").read_text(encoding="utf-8"))
CUDA_HINT = DATA["hint"]
NOISE = DATA["noise"].strip()
# (rule, rung, what the rung said, cause)
EXAMPLES = [
    (e["rule"], e["rung"], f"{e['text']}\n{CUDA_HINT}" if e.get("hint") else e["text"], e["cause"])
    for e in DATA["example"]
]
IDS = [f"{rule}: {text[:40]}" for rule, _, text, _ in EXAMPLES]


def said_by(found: causes.Reading) -> tuple[str | None, str | None]:
    return found.rule, found.cause


@pytest.mark.parametrize(("rule", "rung", "text", "cause"), EXAMPLES, ids=IDS)
def test_real_error_texts_and_the_noise_around_them(rule, rung, text, cause):
    found = causes.find(Rung(rung), text, "")
    assert said_by(found) == (rule, cause)
    # The deciding line alone is quoted, where a rule found one.
    if not rule.startswith("generic-"):
        assert found.line in text.splitlines()
    # Noise on standard error, and around the words themselves, changes neither rule nor cause.
    assert said_by(causes.find(Rung(rung), text, NOISE)) == (rule, cause)
    assert said_by(causes.find(Rung(rung), f"{text}\n{NOISE}", NOISE)) == (rule, cause)
    if not rule.startswith("generic-"):
        assert said_by(causes.find(Rung(rung), f"{NOISE}\n{text}", "")) == (rule, cause)


@pytest.mark.parametrize(("rule", "rung", "text", "cause"), [e for e in EXAMPLES if not e[0].startswith("generic-")])
def test_standard_error_decides_when_the_message_says_nothing(rule, rung, text, cause):
    found = causes.find(Rung(rung), "NoDevice: see standard error", f"{NOISE}\n{text}\n{NOISE}")
    assert said_by(found) == (rule, cause)


def test_the_message_outweighs_standard_error():
    kernel = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    library = "libcudnn.so.9: cannot open shared object file: No such file or directory"
    assert causes.find(Rung.KERNEL, kernel, library).cause is Cause.NO_KERNEL_IMAGE
    assert causes.find(Rung.KERNEL, library, kernel).cause is Cause.LIBRARY_MISSING


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOISE,
        "RuntimeError: CUDA error: an illegal memory access was encountered\n" + CUDA_HINT,
        "RuntimeError: CUDA error: unspecified launch failure",
        "Out of memory: Killed process 4242 (python)",
        "RESOURCE_EXHAUSTED: out of threads",
        "the driver 550.54.15 is new enough; kernel images are available; a CUDA-capable device is detected",
        "cuDNN 9.1.0 was loaded from libcudnn.so.9; the DNN library is ready",
        "OSError: libstdc++.so.6: cannot open shared object file: No such file or directory",
        "it says WrongResult: and CpuBuild: in the middle of a line",
        "TypeError: 'NoneType' object is not callable",
    ],
)
@pytest.mark.parametrize("rung", [Rung.COPY, Rung.KERNEL, Rung.LIBRARY, Rung.JIT])
def test_texts_that_only_look_alike_have_no_cause(rung, text):
    assert causes.find(rung, text, text) == causes.Reading(cause=None, rule=None, line=text.strip())


def test_a_rule_holds_on_its_own_rungs_only():
    text = "Cannot dlopen some GPU libraries. Please make sure"
    assert causes.find(Rung.IMPORT, text, "").rule == "generic-import"
    assert causes.find(Rung.JIT, text, "").cause is None
    assert causes.find(Rung.DEVICE, text, "").rule == "tensorflow-cannot-dlopen"


def test_every_rule_and_every_generic_cause_has_an_example():
    known = {rule.id for rule in causes.rules().rule} | {f"generic-{rung.value}" for rung in causes.rules().generic}
    assert known == {rule for rule, *_ in EXAMPLES}


def test_rule_ids_are_unique_and_say_where_they_come_from():
    rules = causes.rules().rule
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(rule.comment and rule.source for rule in rules)


@pytest.mark.parametrize(
    "hostile",
    ["libcu" * 4000, "libcu-" * 3300 + "so", "libnccl" + "a" * 19000, "\n" * 20000, "libcu.so" + "." * 19000],
)
def test_hostile_text_does_not_stop_the_classification(hostile):
    """Bounded by the result's schema, a text must not make a pattern run for long."""
    begun = time.monotonic()
    assert causes.find(Rung.KERNEL, hostile[:4000], hostile).cause is None
    assert time.monotonic() - begun < 0.5


# --------------------------------------------------------------------------- the rule file

GOOD = {
    "schema": 1,
    "generic": {"device": "no-device"},
    "rule": [{"id": "a-rule", "pattern": "x", "cause": "no-device", "comment": "c", "source": "s"}],
}


def checked(data):
    return validated(CauseRules, data, places.PACKAGE / "rules" / "causes.toml")


def test_a_good_rule_file_is_read():
    assert checked(GOOD).rule[0].rungs == tuple(Rung)
    assert checked(read_toml(places.PACKAGE / "rules" / "causes.toml", "")) == causes.rules()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"cause": "bad-luck"}, "bad-luck"),
        ({"rungs": ["moon"]}, "moon"),
        ({"id": "Not An Id"}, "Not An Id"),
        ({"patern": "x"}, "patern"),
        ({"comment": None}, "comment"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_key(change, said):
    rule = {**GOOD["rule"][0], **change}
    with pytest.raises(SettingsError, match=r"causes\.toml") as raised:
        checked({**GOOD, "rule": [rule]})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"generic": {"moon": "no-device"}}, {"generic": {"device": "?"}}, {"rules": []}]
)
def test_a_wrong_rule_file_is_refused(change):
    with pytest.raises(SettingsError, match=r"causes\.toml"):
        checked({**GOOD, **change})
