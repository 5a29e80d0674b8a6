//! One sentence for a squad's leader: who is there, and what they can do.

use switchyard_sdk::squad_briefing::{Input, Member, SquadBriefing};
use switchyard_sdk::{Call, Failure};

use crate::Served;

impl SquadBriefing for Served {
    fn brief(_: &Call, input: Input) -> Result<Option<String>, Failure> {
        let others = input.members.iter().filter(|member| member.id != input.leader_id && !member.archived);
        let names: Vec<String> = others.map(introduced).collect();
        if names.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!("You lead {}. With you are {}.", input.squad_name, names.join(", "))))
    }
}

fn introduced(member: &Member) -> String {
    match member.skills.as_deref() {
        None | Some([]) => member.name.clone(),
        Some(skills) => format!("{} ({})", member.name, skills.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use switchyard_sdk::squad_briefing::MemberKind;

    use super::*;

    #[test]
    fn skills_stand_behind_a_name() {
        let mut member = Member {
            kind: MemberKind::Agent,
            id: "b".into(),
            name: "Ben".into(),
            role: String::new(),
            archived: false,
            skills: None,
        };
        assert_eq!(introduced(&member), "Ben");
        member.skills = Some(vec!["rust".into(), "sql".into()]);
        assert_eq!(introduced(&member), "Ben (rust, sql)");
    }
}
