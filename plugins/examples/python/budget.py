"""How much a workspace may have a day. Plain functions, without the gateway."""

from dataclasses import dataclass
from datetime import datetime, timezone

# The configuration as JSON Schema; the gateway holds the operator's against it.
SCHEMA = {
    "type": "object",
    "properties": {
        "tasks_a_day": {
            "type": "integer",
            "minimum": 1,
            "description": "Tasks that one workspace may start in a day (UTC).",
        }
    },
    "required": ["tasks_a_day"],
    "additionalProperties": False,
}

# A count is of no use once its day is over everywhere.
TWO_DAYS = 2 * 24 * 60 * 60


@dataclass
class Verdict:
    denied: bool
    reason: str


def day(milliseconds: int) -> str:
    """The day of an instant, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d")


def key(workspace_id: str, day: str) -> str:
    return f"tasks/{workspace_id}/{day}"


def verdict(tasks_a_day: int, spent: int, day: str) -> Verdict:
    """Of the task that made it `spent`. The last tenth is announced."""
    if spent > tasks_a_day:
        return Verdict(True, f"the workspace has had its {tasks_a_day} tasks of {day}; try again tomorrow (UTC)")
    left = tasks_a_day - spent
    if left * 10 < tasks_a_day:
        return Verdict(False, f"The workspace may start {left} more tasks today; leave work for tomorrow where you can.")
    return Verdict(False, "")
