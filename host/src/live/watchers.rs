//! The sockets of people, and who hears of what. Every event of a workspace goes to all of
//! its sockets, but for those that are one person's business.

use serde_json::{Value, json};
use uuid::Uuid;

use super::events::Event;
use super::lines::{Counts, Ending, Frame, Limits, Line, Lines, Outlet, Refused};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::revoked::{Openers, Revoked, TokenHash};

/// A person has a socket for each tab and device.
const LIMITS: Limits = Limits { queue: 256, lines: 20_000, per_owner: 256 };
/// Sockets that have not said yet whose they are.
const STRANGERS: Limits = Limits { queue: 1, lines: 1024, per_owner: 1024 };

/// What a person's line is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Room {
    Workspace(WorkspaceId),
    User(UserId),
    /// By which it was opened, where it can be revoked.
    Token(TokenHash),
}

#[derive(Clone)]
pub struct Watchers {
    lines: Lines<Room>,
    strangers: Lines<Room>,
}

/// Who hears of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Audience {
    Workspace,
    /// The workspace, and this person wherever else they are.
    WorkspaceAnd(UserId),
    /// This person alone, in any workspace.
    Person(UserId),
    Nobody,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { lines: Lines::new(LIMITS), strangers: Lines::new(STRANGERS) }
    }
}

impl Watchers {
    /// Opens a person's line in a workspace; `greeting` is the first thing on it.
    pub fn join(
        &self,
        user: UserId,
        workspace: WorkspaceId,
        token: Option<TokenHash>,
        greeting: Option<Frame>,
    ) -> Result<(Line<Room>, Outlet), Refused> {
        let rooms = [Room::Workspace(workspace), Room::User(user)];
        let rooms = rooms.into_iter().chain(token.map(Room::Token)).collect();
        self.lines.join(&user.to_string(), rooms, greeting)
    }

    /// Counts a socket that nobody has spoken for yet, until what is given back is dropped.
    pub fn wait(&self) -> Result<Line<Room>, Refused> {
        self.strangers.join("", Vec::new(), None).map(|(line, _)| line)
    }

    /// Whether anybody would hear an event.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Hands an event to everyone it concerns. One text serves them all.
    pub fn tell(&self, event: &Event) {
        let frame: Frame = json!({
            "type": event.kind,
            "payload": event.payload,
            "actor_id": event.actor_id,
            "actor_type": event.actor_type,
        })
        .to_string()
        .into();
        let id = Uuid::now_v7();
        let workspace = Room::Workspace(event.workspace_id);
        match audience(&event.kind, &event.payload) {
            Audience::Workspace => {
                self.lines.send(workspace, id, &frame);
            }
            Audience::WorkspaceAnd(user) => {
                self.lines.send(workspace, id, &frame);
                self.lines.send(Room::User(user), id, &frame);
            }
            Audience::Person(user) => {
                self.lines.send(Room::User(user), id, &frame);
            }
            Audience::Nobody => {}
        }
        self.end_with(event);
    }

    /// Ends the lines that were opened by what was revoked.
    pub fn shut_out(&self, revoked: &Revoked) {
        match *revoked {
            Revoked::Token(token) => self.lines.end(&[Room::Token(token)], Ending::NotAllowed),
            Revoked::Member { user, workspace } => {
                self.lines.end(&[Room::User(user), Room::Workspace(workspace)], Ending::NotAllowed);
            }
        }
    }

    /// By what the lines were opened.
    pub fn openers(&self, into: &mut Openers) {
        self.lines.each(|keys| {
            for key in keys {
                match (key, keys) {
                    (Room::Token(token), _) => drop(into.tokens.insert(*token)),
                    (Room::User(user), [Room::Workspace(workspace), ..]) => {
                        into.members.insert((*user, *workspace));
                    }
                    _ => {}
                }
            }
        });
    }

    /// Closes every socket with a word of goodbye.
    pub async fn drain(&self) {
        tokio::join!(self.lines.drain(), self.strangers.drain());
    }

    /// For operators.
    pub fn counts(&self) -> Counts {
        self.lines.counts()
    }

    /// Whoever is no member any more hears nothing more.
    fn end_with(&self, event: &Event) {
        let workspace = Room::Workspace(event.workspace_id);
        match event.kind.as_ref() {
            "workspace:deleted" => self.lines.end(&[workspace], Ending::NotAllowed),
            "member:removed" => {
                if let Some(user) = person(event.payload.get("user_id")) {
                    self.lines.end(&[workspace, Room::User(user)], Ending::NotAllowed);
                }
            }
            _ => {}
        }
    }
}

fn audience(kind: &str, payload: &Value) -> Audience {
    let alone = |id: Option<&Value>| person(id).map_or(Audience::Nobody, Audience::Person);
    match kind {
        "inbox:new" => alone(payload.pointer("/item/recipient_id")),
        "inbox:read" | "inbox:archived" | "inbox:batch-read" | "inbox:batch-archived" => {
            alone(payload.get("recipient_id"))
        }
        "invitation:created" => alone(payload.pointer("/invitation/invitee_user_id")),
        "invitation:revoked" => alone(payload.get("invitee_user_id")),
        "member:added" => {
            person(payload.pointer("/member/user_id")).map_or(Audience::Workspace, Audience::WorkspaceAnd)
        }
        _ => Audience::Workspace,
    }
}

fn person(id: Option<&Value>) -> Option<UserId> {
    id.and_then(Value::as_str).and_then(UserId::parse)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn what_is_one_persons_business_goes_to_nobody_else() {
        let user = UserId::new();
        let check = |kind: &str, payload: Value, expected: Audience| {
            assert_eq!(audience(kind, &payload), expected, "{kind} {payload}");
        };
        check("issue:created", json!({}), Audience::Workspace);
        check("invitation:created", json!({"invitation": {"invitee_user_id": user}}), Audience::Person(user));
        check("invitation:created", json!({"invitation": {"invitee_user_id": null}}), Audience::Nobody);
        check("invitation:revoked", json!({"invitee_user_id": user}), Audience::Person(user));
        check("inbox:new", json!({"item": {"recipient_id": user}}), Audience::Person(user));
        check("inbox:read", json!({}), Audience::Nobody);
        check("member:added", json!({"member": {"user_id": user}}), Audience::WorkspaceAnd(user));
    }

    #[tokio::test]
    async fn a_new_member_hears_of_it_once_and_a_former_one_hears_nothing_more() -> anyhow::Result<()> {
        let watchers = Watchers::default();
        let (user, here, elsewhere) = (UserId::new(), WorkspaceId::new(), WorkspaceId::new());
        let (line, mut in_here) = watchers.join(user, here, None, None)?;
        let (other, mut in_elsewhere) = watchers.join(user, elsewhere, None, None)?;
        let event = |kind, payload| Event {
            workspace_id: here,
            kind: Cow::Borrowed(kind),
            actor_type: "system".into(),
            actor_id: String::new(),
            payload,
        };
        watchers.tell(&event("member:added", json!({"member": {"user_id": user}})));
        for outlet in [&mut in_here, &mut in_elsewhere] {
            assert!(outlet.frames.try_recv().is_ok() && outlet.frames.try_recv().is_err());
        }
        watchers.tell(&event("member:removed", json!({"user_id": user})));
        assert_eq!(line.end.come().await, Ending::NotAllowed);
        assert_eq!(watchers.counts().active, 1);
        drop(other);
        assert!(watchers.is_empty());
        Ok(())
    }
}
