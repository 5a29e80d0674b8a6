// Stage `squad-briefing`: one sentence for a squad's leader, who is there and what they can do.

/** Called when the task is a squad leader's. */
export function brief(call, input) {
  const names = input.members
    .filter((member) => member.id !== input.leaderId && !member.archived)
    .map((member) => (member.skills?.length ? `${member.name} (${member.skills.join(", ")})` : member.name));
  return names.length === 0 ? null : `You lead ${input.squadName}. With you are ${names.join(", ")}.`;
}
