"""Stage `squad-briefing`: one sentence for a squad's leader, who is there and what they can do."""


def briefing(squad: str, members: list[tuple[str, list[str] | None]]) -> str | None:
    """Of the names of the others and their skills."""
    names = [f"{name} ({', '.join(skills)})" if skills else name for name, skills in members]
    return f"You lead {squad}. With you are {', '.join(names)}." if names else None
