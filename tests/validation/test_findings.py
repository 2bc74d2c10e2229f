"""Findings for people to read."""

from dobble.validation.findings import Finding, capped


def finding(photo: str, check: str) -> Finding:
    return Finding(photo, "warning", check, "is odd", "look at it")


def test_few_findings_stay_as_they_are() -> None:
    found = [finding("a", "picture dark"), finding("b", "box flat")]
    assert capped(found) == found


def test_of_each_check_a_thousand_findings_are_kept_and_the_rest_are_counted() -> None:
    dark = [finding(f"photo{number}", "picture dark") for number in range(1_000_000)]
    kept = capped([*dark, finding("b", "box flat")])
    rest = Finding("", "warning", "picture dark", "999000 more of this kind are left out", "mend these first")
    assert kept == [*dark[:1000], finding("b", "box flat"), rest]
