//! The briefing's parts, and the grammar of the roster to the byte.

use squad_briefing::briefing;
use switchyard_sdk::TaskKind;
use switchyard_sdk::squad_briefing::{Input, Member, MemberKind};

const LEADER: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

fn squad(members: Vec<Member>) -> Input {
    Input {
        kind: TaskKind::Direct,
        squad_id: "33333333-3333-4333-8333-333333333333".into(),
        squad_name: "Core (team)".into(),
        squad_instructions: String::new(),
        leader_id: LEADER.into(),
        leader_name: Some("Lea".into()),
        members,
        attributes: Vec::new(),
    }
}

fn agent(name: &str, role: &str, skills: Option<&[&str]>) -> Member {
    Member {
        kind: MemberKind::Agent,
        id: OTHER.into(),
        name: name.into(),
        role: role.into(),
        archived: false,
        skills: skills.map(|names| names.iter().map(ToString::to_string).collect()),
    }
}

fn human(name: &str, role: &str) -> Member {
    Member { kind: MemberKind::Human, skills: None, ..agent(name, role, None) }
}

#[track_caller]
fn check_row(member: Member, expected: &str) {
    let text = briefing(&squad(vec![member]));
    let (_, rows) = text.split_once("\n\nMembers:\n").expect("a list of members");
    assert_eq!(rows, format!("{expected}\n"));
}

/// Domain item 214, its first part.
#[test]
fn the_protocol_comes_first_and_says_all_it_must() {
    let text = briefing(&squad(Vec::new()));
    let (protocol, _) = text.split_once("\n\n## Squad Roster\n\n").expect("one blank line before the roster");
    assert!(protocol.starts_with("## Squad Operating Protocol\n"));
    assert!(!protocol.ends_with('\n'));
    for element in [
        "**leader**",
        "direct order",
        "\n1. ",
        "\n2. ",
        "\n3. ",
        "\n4. ",
        "\n5. ",
        "`multica squad activity <issue-id> <outcome> --reason \"<short reason>\"`",
        "`action`",
        "`no_action`",
        "`failed`",
        "`[@Name](mention://<type>/<UUID>)`",
        "Do not restate context",
        "Do not implement",
        "not in the roster",
        "one delegation comment",
        "mention the reporter",
        "Always record the evaluation",
        "--status todo",
    ] {
        assert!(protocol.contains(element), "missing: {element}");
    }
    assert!(!protocol.contains("\n6. "));
}

/// Domain item 222, for a leader alone.
#[test]
fn a_leader_alone_has_a_line_instead_of_rows() {
    let text = briefing(&squad(Vec::new()));
    let (_, roster) = text.split_once("## Squad Roster\n\n").expect("a roster");
    assert_eq!(
        roster,
        format!(
            "Leader (you):\n- Lea — agent — `[@Lea](mention://agent/{LEADER})`\n\n\
             Members: (none — you are the only member of this squad)\n"
        )
    );
}

#[test]
fn a_leader_that_could_not_be_read_is_called_leader() {
    let text = briefing(&Input { leader_name: None, ..squad(Vec::new()) });
    assert!(text.contains(&format!("- Leader — agent — `[@Leader](mention://agent/{LEADER})`\n")));
}

/// Domain items 221 and 223: without skills that could be read, a row has no word of them.
#[test]
fn rows_follow_the_grammar() {
    let mention = format!("`[@Ben](mention://agent/{OTHER})`");
    check_row(
        agent("Ben", "", Some(&["rust", "css"])),
        &format!("- Ben — agent — skills: css, rust — {mention}"),
    );
    check_row(agent("Ben", "", Some(&[])), &format!("- Ben — agent — no skills assigned — {mention}"));
    check_row(agent("Ben", "", None), &format!("- Ben — agent — {mention}"));
    check_row(
        agent("Ben", " back end ", Some(&["go"])),
        &format!("- Ben — agent, role: \"back end\" — skills: go — {mention}"),
    );
    let person = format!("`[@Ann [x]](mention://member/{OTHER})`");
    check_row(human("Ann [x]", "  "), &format!("- Ann [x] — member (human) — {person}"));
    check_row(human("Ann [x]", "PM"), &format!("- Ann [x] — member (human), role: \"PM\" — {person}"));
}

#[test]
fn a_line_break_in_a_name_breaks_no_row() {
    let mention = format!("`[@Ben Two](mention://agent/{OTHER})`");
    let member = agent("Ben\nTwo", "back\r\nend", Some(&["a\nb"]));
    check_row(member, &format!("- Ben Two — agent, role: \"back  end\" — skills: a b — {mention}"));
}

#[test]
fn people_never_have_skills() {
    let member = Member { skills: Some(vec!["rust".into()]), ..human("Ann", "") };
    check_row(member, &format!("- Ann — member (human) — `[@Ann](mention://member/{OTHER})`"));
}

/// Domain item 222.
#[test]
fn the_leaders_own_row_and_archived_agents_are_left_out() {
    let own = Member { id: LEADER.into(), ..agent("Lea", "", None) };
    let gone = Member { archived: true, ..agent("Gone", "", None) };
    let text = briefing(&squad(vec![own.clone(), gone.clone()]));
    assert!(text.ends_with("\n\nMembers: (none — you are the only member of this squad)\n"));

    let text = briefing(&squad(vec![own, human("Zoe", ""), gone, agent("Ben", "", None)]));
    let (_, rows) = text.split_once("Members:\n").expect("rows");
    let names: Vec<&str> = rows.lines().map(|row| row.split(' ').nth(1).expect("a name")).collect();
    assert_eq!(names, ["Zoe", "Ben"], "in the order they joined");
}

/// Domain item 225.
#[test]
fn the_squads_own_instructions_come_last_and_only_when_there_are_some() {
    let text = briefing(&Input { squad_instructions: "\n Ship on Fridays. \n".into(), ..squad(Vec::new()) });
    assert!(text.ends_with("this squad)\n\n\n## Squad Instructions (Core (team))\n\nShip on Fridays."));
    let blank = briefing(&Input { squad_instructions: " \n".into(), ..squad(Vec::new()) });
    assert!(!blank.contains("## Squad Instructions"));
}
