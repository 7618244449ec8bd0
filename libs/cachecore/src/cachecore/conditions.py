"""metav1 conditions as values: setting one keeps the others, and the time of the last transition."""

from __future__ import annotations

from cachecore.resources.meta import Condition
from cachecore.timestamps import format_timestamp


def find_condition(conditions: tuple[Condition, ...], type: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == type), None)


def condition_is_true(conditions: tuple[Condition, ...], type: str) -> bool:
    condition = find_condition(conditions, type)
    return condition is not None and condition.status == "True"


def set_condition(
    conditions: tuple[Condition, ...],
    *,
    type: str,
    status: bool | str,
    reason: str,
    message: str = "",
    now: float,
    observed_generation: int = 0,
) -> tuple[Condition, ...]:
    """The conditions with this one set, in its old place or at the end.

    `lastTransitionTime` moves only when the status changes, so that setting the same again gives an equal value, and
    nothing to write.
    """
    word = str(status)
    old = find_condition(conditions, type)
    changed_at = old.last_transition_time if old is not None and old.status == word else None
    new = Condition(
        type=type,
        status=word,
        reason=reason,
        message=message,
        last_transition_time=changed_at or format_timestamp(now),
        observed_generation=observed_generation,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if condition.type == type else condition for condition in conditions)
