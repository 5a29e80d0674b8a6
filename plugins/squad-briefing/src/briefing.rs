//! The briefing: three parts, of which the last may be missing.

use std::borrow::Cow;

use switchyard_sdk::squad_briefing::{Input, Member, MemberKind};

/// How a leader works. Daemons recognise a leader's run by its heading.
const PROTOCOL: &str = include_str!("protocol.md");

/// The text to append to the leader's instructions.
pub fn briefing(input: &Input) -> String {
    // Enough for the usual squad, so that the text is written without being moved.
    let mut text = String::with_capacity(PROTOCOL.len() + input.squad_instructions.len() + 4096);
    text.push_str(PROTOCOL);
    roster(&mut text, input);
    let own = input.squad_instructions.trim();
    if !own.is_empty() {
        push(&mut text, &["\n\n## Squad Instructions (", &one_line(&input.squad_name), ")\n\n", own]);
    }
    text
}

fn roster(text: &mut String, input: &Input) {
    let leader = one_line(input.leader_name.as_deref().unwrap_or("Leader"));
    push(text, &["## Squad Roster\n\nLeader (you):\n- ", &leader, " — agent"]);
    mention(text, &leader, "agent", &input.leader_id);

    let mut members = input.members.iter().filter(|member| is_listed(member, &input.leader_id)).peekable();
    if members.peek().is_none() {
        text.push_str("\nMembers: (none — you are the only member of this squad)\n");
        return;
    }
    text.push_str("\nMembers:\n");
    members.for_each(|member| row(text, member));
}

/// Neither the leader's own row nor an agent that was archived.
fn is_listed(member: &Member, leader_id: &str) -> bool {
    match member.kind {
        MemberKind::Agent => !member.archived && member.id != leader_id,
        MemberKind::Human => true,
    }
}

fn row(text: &mut String, member: &Member) {
    let (kind, target) = match member.kind {
        MemberKind::Agent => ("agent", "agent"),
        MemberKind::Human => ("member (human)", "member"),
    };
    let name = one_line(&member.name);
    push(text, &["- ", &name, " — ", kind]);
    let role = one_line(member.role.trim());
    if !role.is_empty() {
        push(text, &[", role: \"", &role, "\""]);
    }
    if let (MemberKind::Agent, Some(skills)) = (member.kind, &member.skills) {
        push(text, &[" — ", &described(skills)]);
    }
    mention(text, &name, target, &member.id);
}

/// What a member can do, or that nobody said so.
fn described(skills: &[String]) -> String {
    if skills.is_empty() {
        return "no skills assigned".into();
    }
    let mut sorted: Vec<&str> = skills.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    one_line(&format!("skills: {}", sorted.join(", "))).into_owned()
}

/// Ends a row with what the leader pastes to wake somebody.
fn mention(text: &mut String, name: &str, target: &str, id: &str) {
    push(text, &[" — `[@", name, "](mention://", target, "/", id, ")`\n"]);
}

/// Names stand as they are, but for line breaks: a row is one line, and a mention is not
/// recognised across two.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ").into() } else { text.into() }
}

fn push(text: &mut String, pieces: &[&str]) {
    text.extend(pieces.iter().copied());
}
