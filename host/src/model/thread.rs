//! Comments as threads: who answers whom, and which of them a folded thread shows.

use std::collections::HashMap;

use super::ids::CommentId;
use super::issue::Comment;

/// What a folded thread's root says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Folded {
    /// How many replies are not shown.
    pub hidden: usize,
}

/// The root of each comment, as far up as the list reaches.
pub fn roots(comments: &[Comment]) -> HashMap<CommentId, CommentId> {
    let parents: HashMap<CommentId, Option<CommentId>> =
        comments.iter().map(|comment| (comment.id, comment.parent_id)).collect();
    let mut roots: HashMap<CommentId, CommentId> = HashMap::with_capacity(comments.len());
    for comment in comments {
        let mut path = vec![comment.id];
        let mut at = comment.id;
        let root = loop {
            if let Some(known) = roots.get(&at) {
                break *known;
            }
            match parents.get(&at).copied().flatten().filter(|parent| parents.contains_key(parent)) {
                // A chain longer than the list would be a circle.
                Some(parent) if path.len() <= comments.len() => {
                    at = parent;
                    path.push(at);
                }
                _ => break at,
            }
        };
        roots.extend(path.into_iter().map(|id| (id, root)));
    }
    roots
}

/// Leaves of each resolved thread its root, and the resolved reply where a reply is what
/// was resolved; of several, the latest. Other threads stay whole. Says what the roots of
/// folded threads hide.
pub fn fold(comments: Vec<Comment>) -> (Vec<Comment>, HashMap<CommentId, Folded>) {
    let roots = roots(&comments);
    let mut sizes: HashMap<CommentId, usize> = HashMap::new();
    let mut resolutions: HashMap<CommentId, &Comment> = HashMap::new();
    for comment in &comments {
        let root = roots[&comment.id];
        *sizes.entry(root).or_default() += 1;
        if comment.resolved_at.is_some() {
            let kept = resolutions.entry(root).or_insert(comment);
            let is_root = |comment: &Comment| comment.id == root;
            if is_root(comment) || (!is_root(kept) && comment.resolved_at > kept.resolved_at) {
                *kept = comment;
            }
        }
    }
    let kept: HashMap<CommentId, CommentId> =
        resolutions.iter().map(|(root, comment)| (*root, comment.id)).collect();
    let folded = kept
        .iter()
        .map(|(root, resolution)| {
            let shown = if root == resolution { 1 } else { 2 };
            (*root, Folded { hidden: sizes.get(root).copied().unwrap_or_default().saturating_sub(shown) })
        })
        .collect();
    let shown = comments.into_iter().filter(|comment| {
        let root = roots[&comment.id];
        kept.get(&root).is_none_or(|resolution| comment.id == root || comment.id == *resolution)
    });
    (shown.collect(), folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{IssueId, WorkspaceId};
    use crate::model::time::Time;
    use uuid::Uuid;

    fn comment(parent: Option<&Comment>, resolved: Option<i64>) -> Comment {
        let at = |seconds| Time::from_timestamp(seconds, 0).unwrap();
        Comment {
            id: CommentId::new(),
            issue_id: IssueId::new(),
            workspace_id: WorkspaceId::new(),
            author_type: "member".to_owned(),
            author_id: Uuid::nil(),
            content: "x".to_owned(),
            kind: "comment".to_owned(),
            parent_id: parent.map(|parent| parent.id),
            source_task_id: None,
            resolved_at: resolved.map(at),
            resolved_by_type: None,
            resolved_by_id: None,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn ids(comments: &[Comment]) -> Vec<CommentId> {
        comments.iter().map(|comment| comment.id).collect()
    }

    #[test]
    fn a_reply_to_a_reply_has_the_root_of_both() {
        let root = comment(None, None);
        let reply = comment(Some(&root), None);
        let deep = comment(Some(&reply), None);
        let stray = comment(Some(&comment(None, None)), None);
        let found = roots(&[deep.clone(), root.clone(), reply.clone(), stray.clone()]);
        for (id, expected) in
            [(root.id, root.id), (reply.id, root.id), (deep.id, root.id), (stray.id, stray.id)]
        {
            assert_eq!(found[&id], expected);
        }
    }

    #[test]
    fn a_resolved_root_hides_its_replies() {
        let root = comment(None, Some(1));
        let list = vec![root.clone(), comment(Some(&root), Some(2)), comment(Some(&root), None)];
        let (shown, folded) = fold(list);
        assert_eq!(ids(&shown), [root.id]);
        assert_eq!(folded[&root.id], Folded { hidden: 2 });
    }

    #[test]
    fn a_resolved_reply_stays_with_its_root() {
        let root = comment(None, None);
        let early = comment(Some(&root), Some(1));
        let late = comment(Some(&early), Some(2));
        let open = comment(None, None);
        let answer = comment(Some(&open), None);
        let list = vec![root.clone(), early, open.clone(), late.clone(), answer.clone()];
        let (shown, folded) = fold(list);
        assert_eq!(ids(&shown), [root.id, open.id, late.id, answer.id]);
        assert_eq!(folded[&root.id], Folded { hidden: 1 });
        assert!(!folded.contains_key(&open.id));
    }
}
