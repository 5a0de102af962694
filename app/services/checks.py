"""checks: is everything there that Hermes needs? One probe per precondition, in the order a person would mend them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.core.config import Language
from app.core.texts import say
from app.domain.deliveries import CheckStep
from app.domain.diagnosis import Finding, Verdict, failed, skipped
from app.domain.redact import mask_secrets, printable

_WITH_REMEDY = {Verdict.FAILED, Verdict.WARNING}
_FROM_OUTSIDE = {"detail", "commands"}
"""Values that hold what drivers and servers say: there a secret might be quoted."""
_LONGEST_DETAIL = 400


@dataclass(frozen=True, slots=True)
class Probe:
    """One precondition. `run` returns what was found, a line for each finding. Where `needs` names a probe that
    failed, or was not run, it is not run."""

    key: str
    """Its name; behind a colon, of what: the kind."""
    run: Callable[[], Sequence[Finding]]
    needs: tuple[str, ...] = ()
    label: str = ""
    """What the operator reads for what stands behind the colon."""


def run_checks(probes: Iterable[Probe], language: Language, secrets: Sequence[str] = ()) -> list[CheckStep]:
    """Run all probes that can say something, whatever the others say. No text shows any of `secrets` (P9)."""
    steps: list[CheckStep] = []
    broken: dict[str, str] = {}
    for probe in probes:
        lacking = [need for need in probe.needs if need in broken]
        found = [skipped("blocked", need=broken[lacking[0]])] if lacking else _run(probe)
        if lacking or any(each.verdict is Verdict.FAILED for each in found):
            broken[probe.key] = _name(probe, language)
        steps += [_step(probe, each, language, secrets) for each in found]
    return steps


def _run(probe: Probe) -> Sequence[Finding]:
    try:
        return probe.run()
    except Exception as error:  # noqa: BLE001  whatever breaks one step, the operator reads a sentence and the others
        return [failed("unexpected", detail=f"{type(error).__name__}: {error}")]


def _name(probe: Probe, language: Language) -> str:
    name = say(language, f"check_{probe.key.partition(':')[0]}")
    return f"{name}: {probe.label}" if probe.label else name


def _step(probe: Probe, found: Finding, language: Language, secrets: Sequence[str]) -> CheckStep:
    values = {
        name: mask_secrets(str(value), secrets) if name in _FROM_OUTSIDE else value
        for name, value in found.values.items()
    }

    def put(key: str) -> str:
        return printable(say(language, key, **values))[:_LONGEST_DETAIL]

    return CheckStep(
        key=probe.key,
        name=_name(probe, language),
        ok=None if found.verdict is Verdict.SKIPPED else found.verdict is not Verdict.FAILED,
        warning=found.verdict is Verdict.WARNING,
        cause=found.cause,
        detail=put(f"found_{found.cause}"),
        remedy=put(f"remedy_{found.cause}") if found.verdict in _WITH_REMEDY else "",
    )
