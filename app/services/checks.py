"""checks: is everything there that Hermes needs? One step per precondition, in the order a person would mend them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.domain.deliveries import CheckStep
from app.domain.errors import HermesError


@dataclass(frozen=True, slots=True)
class Probe:
    """One precondition. `run` returns what was found, or None when it does not apply (then `absent` says what
    happens instead); it raises HermesError when it is not met, and `remedy` says what to do. Where `needs` names a
    probe that failed, it is not run, and `blocked` says why."""

    name: str
    run: Callable[[], str | None]
    remedy: str
    absent: str = ""
    needs: str = ""
    blocked: str = ""


def run_checks(probes: Iterable[Probe]) -> list[CheckStep]:
    """Run all probes that can say something, whatever the others say."""
    steps: dict[str, CheckStep] = {}
    for probe in probes:
        before = steps.get(probe.needs)
        cannot = before is not None and before.ok is False
        steps[probe.name] = CheckStep(probe.name, None, probe.blocked) if cannot else _run(probe)
    return list(steps.values())


def _run(probe: Probe) -> CheckStep:
    try:
        found = probe.run()
    except HermesError as error:
        return CheckStep(probe.name, False, str(error), probe.remedy)
    if found is None:
        return CheckStep(probe.name, None, probe.absent)
    return CheckStep(probe.name, True, found)
