"""The one error of planning."""


class PlanRefused(Exception):
    """A release cannot be made, for one or more reasons.

    Attributes:
        problems: each with what to do about it.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"- {problem}" for problem in problems) if len(problems) > 1 else problems[0])
