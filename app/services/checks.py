"""checks: is everything there that Hermes needs? One step per precondition, all of them always."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.domain.deliveries import CheckStep
from app.domain.errors import HermesError


@dataclass(frozen=True, slots=True)
class Probe:
    """One precondition. `run` returns what was found, or None when it does not apply (then `absent` says what
    happens instead); it raises HermesError when it is not met, and `remedy` says what to do."""

    name: str
    run: Callable[[], str | None]
    remedy: str
    absent: str = ""


def run_checks(probes: Iterable[Probe]) -> list[CheckStep]:
    """Run all probes, whatever the earlier ones say."""
    return [_run(probe) for probe in probes]


def _run(probe: Probe) -> CheckStep:
    try:
        found = probe.run()
    except HermesError as error:
        return CheckStep(probe.name, False, str(error), probe.remedy)
    if found is None:
        return CheckStep(probe.name, None, probe.absent)
    return CheckStep(probe.name, True, found)
