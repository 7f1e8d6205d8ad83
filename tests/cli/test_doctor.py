"""``bench doctor``: what it prints, and its exit status."""

from __future__ import annotations

import json

import pytest

from bench.reporting import diagnosis
from bench.reporting.diagnosis import Condition, Diagnosis
from tests.support.runs import exit_status


def test_all_sections_are_printed_and_nothing_is_broken_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("doctor") == 0
    output = capsys.readouterr().out
    for section in ("program", "libraries", "devices", "caches", "plugins", "files"):
        assert f"\n{section}" in f"\n{output}"
    assert output.splitlines()[-1].startswith("0 things broken, ")


def test_what_is_broken_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Condition("torchvision", "broken", "0.1 can't be imported", "install it again")
    absent = Condition("cuda", "absent", "no GPU")
    monkeypatch.setattr(diagnosis, "diagnose", lambda _: Diagnosis({"libraries": (broken, absent)}))
    assert exit_status("doctor") == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "libraries",
        "torchvision BROKEN 0.1 can't be imported",
        "→ install it again",
        "cuda – no GPU",
        "1 thing broken, 1 absent",
    ]
    assert exit_status("doctor", "--json") == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain == {
        "works": False,
        "libraries": [
            {"subject": "torchvision", "state": "broken", "detail": "0.1 can't be imported",
             "remedy": "install it again"},
            {"subject": "cuda", "state": "absent", "detail": "no GPU", "remedy": ""},
        ],
    }  # fmt: skip
