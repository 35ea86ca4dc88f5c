"""What is shown, in order."""

from local.demo.chapters import (
    access,
    allocation,
    arrivals,
    bulk,
    groups,
    individuals,
    messages,
    pages,
    registrations,
    rejected,
    removal,
)
from local.demo.scene import Scene
from local.demo.steps import Chapter


def chapters(scene: Scene) -> list[Chapter]:
    """All of them, with every step they will have."""
    return [
        Chapter("Who may call", access.steps(scene)),
        Chapter(
            "Individual enrollments, one for each file; DPS makes the keys",
            individuals.steps(scene),
        ),
        Chapter("Enrollment groups", groups.steps(scene)),
        Chapter("Queries, page by page", pages.steps(scene)),
        Chapter("Many at once", bulk.steps(scene)),
        Chapter("Devices register", registrations.steps(scene)),
        Chapter("Devices whose hub the webhook chooses, by rules", allocation.steps(scene)),
        Chapter(
            "Messages in queues: each gets a result; what is rejected is kept, with the reason",
            [*messages.steps(scene), *arrivals.steps(scene)],
        ),
        Chapter("What was rejected: read, mended, sent once more", rejected.steps(scene)),
        Chapter("Everything is deleted", removal.steps(scene)),
    ]
