"""The chapters of the demo, in order."""

from local.demo.chapters import (
    access,
    allocation,
    bulk_operations,
    deletion,
    enrollments,
    messages,
    queries,
    registration_states,
    rejected_messages,
    spreadsheets,
)
from local.demo.context import DemoContext
from local.demo.steps import Chapter


def chapters(demo: DemoContext) -> list[Chapter]:
    """Returns all chapters with their steps."""
    return [
        Chapter("Health checks and the function key", access.steps(demo)),
        Chapter("Individual enrollments, one per file", enrollments.individual_steps(demo)),
        Chapter("Enrollment groups, one per file", enrollments.group_steps(demo)),
        Chapter("Queries, page by page", queries.steps(demo)),
        Chapter("Bulk operations", bulk_operations.steps(demo)),
        Chapter("The command line: a spreadsheet with bad rows", spreadsheets.steps(demo)),
        Chapter("Registration states", registration_states.steps(demo)),
        Chapter("Custom allocation: rules choose each device's IoT hub", allocation.steps(demo)),
        Chapter("Queue messages, each answered with a result", messages.steps(demo)),
        Chapter("Rejected messages: list, replay and discard", rejected_messages.steps(demo)),
        Chapter("Deletion of all records", deletion.steps(demo)),
    ]
