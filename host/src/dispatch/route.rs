//! Whom a comment starts: the decision table, a function of what was loaded for it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::ids::{AgentId, SquadId, UserId};
use crate::model::issue::{Assignee, Comment};
use crate::model::mention::{Mention, MentionKind, first_call, is_note, mentions};

/// Who wrote a comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Author {
    Member(UserId),
    Agent(AgentId),
    System,
}

impl Author {
    pub fn of(comment: &Comment) -> Self {
        match comment.author_type.as_str() {
            "member" => Self::Member(UserId(comment.author_id)),
            "agent" => Self::Agent(AgentId(comment.author_id)),
            _ => Self::System,
        }
    }
}

/// The comment at the top of a thread.
#[derive(Clone, Debug)]
pub struct Root {
    pub author: Author,
    pub content: String,
    /// Whom it started, oldest first, each once, with the squad that one led then.
    pub started: Vec<Run>,
}

/// What the decision looks at.
#[derive(Clone, Debug)]
pub struct Facts {
    pub content: String,
    pub author: Author,
    /// Whether the author, an agent, worked on the issue as a squad's leader last.
    pub author_led: bool,
    pub assignee: Option<Assignee>,
    /// Who wrote the comment that this one answers.
    pub parent: Option<Author>,
    /// Of the thread that this one continues.
    pub root: Option<Root>,
    /// The agents that may be started: in the workspace, not archived, and open to whoever
    /// acts here.
    pub startable: HashSet<AgentId>,
    /// The leaders of the workspace's squads, as far as somebody spoke of them.
    pub leaders: HashMap<SquadId, AgentId>,
}

/// An agent at work, possibly as the leader of a squad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub agent_id: AgentId,
    pub leads: Option<SquadId>,
}

/// Why an agent is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    IssueAssignee,
    MentionAgent,
    MentionSquadLeader,
    ThreadParent,
    ConversationContinuation,
}

impl Source {
    /// The reason as people read it before they send a comment.
    pub fn reason(self) -> &'static str {
        match self {
            Self::IssueAssignee => "Current issue assignment will trigger this agent.",
            Self::MentionAgent => "This agent was mentioned in the comment.",
            Self::MentionSquadLeader => "A mentioned squad will trigger its leader.",
            Self::ThreadParent => "This reply will trigger the parent comment's author.",
            Self::ConversationContinuation => "This follow-up will continue the recent agent conversation.",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trigger {
    pub run: Run,
    pub source: Source,
}

/// Whom the comment starts, and who stands by in case the one it starts does not react.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routing {
    pub triggers: Vec<Trigger>,
    pub fallback: Option<Run>,
}

impl Routing {
    fn one(run: Option<Run>, source: Source) -> Self {
        Self { triggers: run.map(|run| Trigger { run, source }).into_iter().collect(), fallback: None }
    }
}

/// The first rule that applies decides; the issue's status plays no part.
pub fn route(facts: &Facts) -> Routing {
    if is_note(&facts.content) {
        return Routing::default();
    }
    let mentions = mentions(&facts.content);
    let any = |kind: MentionKind| mentions.iter().any(|mention| mention.kind == kind);
    if any(MentionKind::All) {
        return Routing::default();
    }
    if mentions.iter().any(Mention::is_call) {
        return called(facts, &mentions);
    }
    if any(MentionKind::Member) {
        return Routing::default();
    }
    if !matches!(facts.author, Author::Member(_)) {
        let leader = matches!(facts.assignee, Some(Assignee::Squad(_))).then(|| assignee(facts)).flatten();
        return Routing::one(leader, Source::IssueAssignee);
    }
    if let Some(Author::Agent(agent_id)) = facts.parent {
        let parent = startable(facts, Run { agent_id, leads: None });
        return standing_by(facts, Routing::one(parent, Source::ThreadParent));
    }
    if facts.parent.is_some()
        && let Some(continued) = continued(facts)
    {
        return standing_by(facts, continued);
    }
    Routing::one(assignee(facts), Source::IssueAssignee)
}

/// Everyone who was named, in order, an agent once; whoever cannot be started is passed
/// over in silence.
fn called(facts: &Facts, mentions: &[Mention]) -> Routing {
    let mut seen = HashSet::new();
    let resolved = mentions.iter().filter_map(|mention| match (mention.kind, mention.id) {
        (MentionKind::Agent, Some(id)) => {
            let run = startable(facts, Run { agent_id: AgentId(id), leads: None })?;
            Some(Trigger { run, source: Source::MentionAgent })
        }
        (MentionKind::Squad, Some(id)) => {
            let run = leader(facts, id)?;
            Some(Trigger { run, source: Source::MentionSquadLeader })
        }
        _ => None,
    });
    let triggers = resolved.filter(|trigger| seen.insert(trigger.run.agent_id)).collect();
    Routing { triggers, fallback: None }
}

/// A reply in a thread that a person opened goes to whom the opening addressed, or else to
/// whom it started. `None` when it did neither.
fn continued(facts: &Facts) -> Option<Routing> {
    let root = facts.root.as_ref().filter(|root| matches!(root.author, Author::Member(_)))?;
    let source = Source::ConversationContinuation;
    if let Some(mention) = first_call(&root.content) {
        let run = mention.id.and_then(|id| match mention.kind {
            MentionKind::Squad => leader(facts, id),
            _ => startable(facts, Run { agent_id: AgentId(id), leads: None }),
        });
        return Some(Routing::one(run, source));
    }
    if root.started.is_empty() {
        return None;
    }
    let runs = root.started.iter().filter_map(|run| startable(facts, *run));
    Some(Routing { triggers: runs.map(|run| Trigger { run, source }).collect(), fallback: None })
}

/// Lets the assignee stand by when exactly one other agent is asked.
fn standing_by(facts: &Facts, routing: Routing) -> Routing {
    let fallback = match routing.triggers.as_slice() {
        [only] => assignee(facts).filter(|run| run.agent_id != only.run.agent_id),
        _ => None,
    };
    Routing { fallback, ..routing }
}

/// Whom the assignment names, through the leader for a squad.
fn assignee(facts: &Facts) -> Option<Run> {
    match facts.assignee? {
        Assignee::Agent(agent_id) => startable(facts, Run { agent_id, leads: None }),
        Assignee::Squad(id) => leader(facts, id.0),
        Assignee::Member(_) => None,
    }
}

/// A squad's leader, unless that is who speaks, in that very role: it would answer itself.
fn leader(facts: &Facts, squad: Uuid) -> Option<Run> {
    let squad = SquadId(squad);
    let agent_id = *facts.leaders.get(&squad)?;
    if facts.author == Author::Agent(agent_id) && facts.author_led {
        return None;
    }
    startable(facts, Run { agent_id, leads: Some(squad) })
}

fn startable(facts: &Facts, run: Run) -> Option<Run> {
    facts.startable.contains(&run.agent_id).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with agents, of which all but `off` may be started, and a squad that
    /// `lead` leads.
    struct World {
        a: AgentId,
        b: AgentId,
        lead: AgentId,
        off: AgentId,
        squad: SquadId,
        ann: UserId,
    }

    impl World {
        fn new() -> Self {
            Self {
                a: AgentId::new(),
                b: AgentId::new(),
                lead: AgentId::new(),
                off: AgentId::new(),
                squad: SquadId::new(),
                ann: UserId::new(),
            }
        }

        /// What a person says on an issue assigned to `a`.
        fn says(&self, content: &str) -> Facts {
            Facts {
                content: content.to_owned(),
                author: Author::Member(self.ann),
                author_led: false,
                assignee: Some(Assignee::Agent(self.a)),
                parent: None,
                root: None,
                startable: [self.a, self.b, self.lead].into(),
                leaders: [(self.squad, self.lead)].into(),
            }
        }

        /// A reply to `parent` in a thread that a person opened with `root`.
        fn replies(&self, parent: Author, root: &str, started: &[Run]) -> Facts {
            Facts {
                parent: Some(parent),
                root: Some(Root {
                    author: Author::Member(self.ann),
                    content: root.to_owned(),
                    started: started.to_vec(),
                }),
                ..self.says("and now?")
            }
        }

        fn member(&self) -> Author {
            Author::Member(self.ann)
        }
    }

    fn agent(id: AgentId) -> Run {
        Run { agent_id: id, leads: None }
    }

    fn at_agent(id: AgentId) -> String {
        format!("[@x](mention://agent/{id})")
    }

    fn at_squad(id: SquadId) -> String {
        format!("[@x](mention://squad/{id})")
    }

    /// The runs and their common source; `None` for nobody.
    #[track_caller]
    fn check(facts: &Facts, source: Source, runs: &[Run]) -> Option<Run> {
        let routing = route(facts);
        let expected: Vec<Trigger> = runs.iter().map(|run| Trigger { run: *run, source }).collect();
        assert_eq!(routing.triggers, expected);
        routing.fallback
    }

    #[track_caller]
    fn check_nobody(facts: &Facts) {
        assert_eq!(route(facts), Routing::default());
    }

    #[test]
    fn notes_and_calls_to_people_start_nobody() {
        let w = World::new();
        check_nobody(&w.says("/note fix later"));
        check_nobody(&w.says(&format!("/NOTE {}", at_agent(w.b))));
        check_nobody(&w.says("[@all](mention://all/all) hello"));
        check_nobody(&w.says(&format!("[@all](mention://all/all) {}", at_agent(w.b))));
        check_nobody(&w.says(&format!("[@ann](mention://member/{})", w.ann)));
        assert_eq!(check(&w.says("/notes"), Source::IssueAssignee, &[agent(w.a)]), None);
    }

    #[test]
    fn issue_mentions_do_not_route() {
        let w = World::new();
        let text = format!("see [X-1](mention://issue/{})", w.ann);
        check(&w.says(&text), Source::IssueAssignee, &[agent(w.a)]);
        let both = format!("{text} [@ann](mention://member/{})", w.ann);
        check_nobody(&w.says(&both));
    }

    #[test]
    fn a_call_replaces_the_assignee() {
        let w = World::new();
        check(&w.says(&at_agent(w.b)), Source::MentionAgent, &[agent(w.b)]);
        let twice = format!("{} {} {}", at_agent(w.b), at_agent(w.a), at_agent(w.b));
        check(&w.says(&twice), Source::MentionAgent, &[agent(w.b), agent(w.a)]);
        check_nobody(&w.says(&at_agent(w.off)));
        check_nobody(&w.says("[@x](mention://agent/abc)"));
        check_nobody(&w.says(&at_squad(SquadId::new())));
    }

    #[test]
    fn a_person_beside_an_agent_changes_nothing() {
        let w = World::new();
        let text = format!("[@ann](mention://member/{}) {}", w.ann, at_agent(w.b));
        check(&w.says(&text), Source::MentionAgent, &[agent(w.b)]);
    }

    #[test]
    fn the_first_mention_of_an_agent_gives_its_role() {
        let w = World::new();
        let leads = Run { agent_id: w.lead, leads: Some(w.squad) };
        let squad_first = format!("{} {}", at_squad(w.squad), at_agent(w.lead));
        check(&w.says(&squad_first), Source::MentionSquadLeader, &[leads]);
        let agent_first = format!("{} {}", at_agent(w.lead), at_squad(w.squad));
        check(&w.says(&agent_first), Source::MentionAgent, &[agent(w.lead)]);
    }

    #[test]
    fn a_leader_does_not_answer_itself() {
        let w = World::new();
        let leads = Run { agent_id: w.lead, leads: Some(w.squad) };
        for assignee in [Some(Assignee::Agent(w.a)), Some(Assignee::Squad(w.squad))] {
            for text in [at_squad(w.squad), "on it".to_owned()] {
                let called = text != "on it";
                let said = |author_led| Facts {
                    author: Author::Agent(w.lead),
                    author_led,
                    assignee,
                    ..w.says(&text)
                };
                check_nobody(&said(true));
                let source = if called { Source::MentionSquadLeader } else { Source::IssueAssignee };
                if called || assignee == Some(Assignee::Squad(w.squad)) {
                    check(&said(false), source, &[leads]);
                } else {
                    check_nobody(&said(false));
                }
            }
        }
        let itself = Facts { author: Author::Agent(w.b), author_led: true, ..w.says(&at_agent(w.b)) };
        check(&itself, Source::MentionAgent, &[agent(w.b)]);
    }

    #[test]
    fn machines_reach_only_a_squad_without_a_call() {
        let w = World::new();
        let leads = Run { agent_id: w.lead, leads: Some(w.squad) };
        for author in [Author::Agent(w.b), Author::System] {
            let on_agent = Facts { author, ..w.says("done") };
            check_nobody(&on_agent);
            check(
                &Facts { assignee: Some(Assignee::Squad(w.squad)), ..on_agent.clone() },
                Source::IssueAssignee,
                &[leads],
            );
            check_nobody(&Facts { assignee: None, ..on_agent.clone() });
            check_nobody(&Facts { parent: Some(Author::Agent(w.b)), ..on_agent });
        }
    }

    #[test]
    fn a_reply_goes_to_the_agent_it_answers_and_the_assignee_stands_by() {
        let w = World::new();
        let reply = w.replies(Author::Agent(w.b), &at_agent(w.lead), &[]);
        assert_eq!(check(&reply, Source::ThreadParent, &[agent(w.b)]), Some(agent(w.a)));
        let to_assignee = w.replies(Author::Agent(w.a), "x", &[]);
        assert_eq!(check(&to_assignee, Source::ThreadParent, &[agent(w.a)]), None);
        let squad = Facts { assignee: Some(Assignee::Squad(w.squad)), ..reply.clone() };
        let leads = Run { agent_id: w.lead, leads: Some(w.squad) };
        assert_eq!(check(&squad, Source::ThreadParent, &[agent(w.b)]), Some(leads));
        let nobody = Facts { assignee: None, ..reply };
        assert_eq!(check(&nobody, Source::ThreadParent, &[agent(w.b)]), None);
    }

    #[test]
    fn a_reply_to_an_agent_that_may_not_be_started_falls_to_nobody() {
        let w = World::new();
        check_nobody(&w.replies(Author::Agent(w.off), "x", &[agent(w.b)]));
    }

    #[test]
    fn a_thread_goes_on_with_whom_its_root_called_first() {
        let w = World::new();
        let root = format!("{} {}", at_agent(w.b), at_agent(w.a));
        let reply = w.replies(w.member(), &root, &[agent(w.a)]);
        assert_eq!(check(&reply, Source::ConversationContinuation, &[agent(w.b)]), Some(agent(w.a)));
        let leads = Run { agent_id: w.lead, leads: Some(w.squad) };
        let reply = w.replies(w.member(), &at_squad(w.squad), &[]);
        assert_eq!(check(&reply, Source::ConversationContinuation, &[leads]), Some(agent(w.a)));
        check_nobody(&w.replies(w.member(), &at_agent(w.off), &[agent(w.b)]));
        check_nobody(&w.replies(w.member(), "[@x](mention://agent/abc)", &[agent(w.b)]));
    }

    #[test]
    fn a_thread_goes_on_with_whom_its_root_started() {
        let w = World::new();
        let led = Run { agent_id: w.lead, leads: Some(w.squad) };
        let source = Source::ConversationContinuation;
        let one = w.replies(w.member(), "hello", &[led]);
        assert_eq!(check(&one, source, &[led]), Some(agent(w.a)));
        let both = w.replies(w.member(), "hello", &[led, agent(w.b)]);
        assert_eq!(check(&both, source, &[led, agent(w.b)]), None);
        let half = w.replies(w.member(), "hello", &[led, agent(w.off)]);
        assert_eq!(check(&half, source, &[led]), Some(agent(w.a)));
        check_nobody(&w.replies(w.member(), "hello", &[agent(w.off)]));
    }

    #[test]
    fn everything_else_goes_to_the_assignee() {
        let w = World::new();
        let source = Source::IssueAssignee;
        assert_eq!(check(&w.says("hello @b"), source, &[agent(w.a)]), None);
        assert_eq!(check(&w.replies(w.member(), "hello", &[]), source, &[agent(w.a)]), None);
        assert_eq!(check(&w.replies(Author::System, "hello", &[]), source, &[agent(w.a)]), None);
        let under_a_machine = Facts {
            root: Some(Root { author: Author::Agent(w.b), content: "x".to_owned(), started: Vec::new() }),
            ..w.replies(w.member(), "", &[])
        };
        check(&under_a_machine, source, &[agent(w.a)]);
        check_nobody(&Facts { assignee: Some(Assignee::Agent(w.off)), ..w.says("hello") });
        for assignee in [None, Some(Assignee::Member(w.ann))] {
            check_nobody(&Facts { assignee, ..w.says("hello") });
        }
    }
}
