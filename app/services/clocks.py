"""clocks: do all who work together agree on the time? Claims and retries are moments that one process writes and
another compares with its own clock."""

from collections.abc import Mapping
from datetime import timedelta
from statistics import median

from app.domain.diagnosis import Finding, failed, met, skipped, warning

TOLERATED = timedelta(seconds=30)
_A_ZONE_HOUR = timedelta(hours=1)


def compare(ahead: Mapping[str, timedelta], bearable: timedelta, partner: str) -> list[Finding]:
    """What the others' clocks say; `ahead` is by how much each is ahead of this machine's. From `bearable` on,
    claims cannot be trusted any more. The clock of `partner` accuses nobody when others bear ours out."""
    if not ahead:
        return [skipped("clock_alone")]
    off = {who: by for who, by in ahead.items() if abs(by) >= TOLERATED}
    if not off:
        return [met("clock", most=_seconds(max(ahead.values(), key=abs)))]
    if len(off) == len(ahead):
        return [_ours(ahead, bearable)]
    return [_found("clock_theirs", abs(by) >= bearable and who != partner, by, who) for who, by in off.items()]


def _ours(ahead: Mapping[str, timedelta], bearable: timedelta) -> Finding:
    by = timedelta(seconds=median(each.total_seconds() for each in ahead.values()))
    return _found("clock_ours", abs(by) >= bearable, -by, who=", ".join(ahead))


def _found(cause: str, bad: bool, by: timedelta, who: str) -> Finding:
    hours = round(by / _A_ZONE_HOUR)
    if hours and abs(by - hours * _A_ZONE_HOUR) < TOLERATED:
        cause += "_zone"
    return (failed if bad else warning)(cause, who=who, by=_seconds(by), hours=f"{hours:+d}")


def _seconds(by: timedelta) -> str:
    """`+2:00:00` for two hours ahead; `+0.3 s` for less than a minute."""
    sign = "-" if by < timedelta() else "+"
    if abs(by) < timedelta(minutes=1):
        return f"{sign}{abs(by).total_seconds():.1f} s"
    return f"{sign}{timedelta(seconds=round(abs(by).total_seconds()))}"
