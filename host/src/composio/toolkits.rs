//! Apps that can be connected: which way to log in counts for each, and how lists show them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::client::{AuthConfig, ListedToolkit, UpstreamError};
use crate::model::time::Time;

const REMEMBERED: TimeDelta = TimeDelta::minutes(5);

/// By slug: the id of the auth config that counts.
pub type BySlug = HashMap<String, String>;

/// Remembers for minutes what was looked up, and for longer when it cannot be looked up again.
#[derive(Default)]
pub struct AuthConfigs(Mutex<Option<(Time, Arc<BySlug>)>>);

impl AuthConfigs {
    /// Whoever comes while it is being looked up waits for the answer.
    pub async fn find<F>(&self, now: Time, fetch: impl FnOnce() -> F) -> Result<Arc<BySlug>, UpstreamError>
    where
        F: Future<Output = Result<Vec<AuthConfig>, UpstreamError>>,
    {
        let mut known = self.0.lock().await;
        let fresh = known.as_ref().filter(|(at, _)| now - *at < REMEMBERED);
        if let Some((_, found)) = fresh {
            return Ok(found.clone());
        }
        match (fetch().await, known.as_ref()) {
            (Ok(listed), _) => {
                let found = Arc::new(best(listed));
                *known = Some((now, found.clone()));
                Ok(found)
            }
            (Err(error), Some((_, stale))) => {
                tracing::warn!(%error, "the ways to log in to apps are those of a while ago");
                Ok(stale.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// For each app the way to log in that counts: a project's own before the service's, the last
/// changed of one kind, the first of equals.
fn best(listed: Vec<AuthConfig>) -> BySlug {
    let mut best: HashMap<String, (bool, String, String)> = HashMap::new();
    for config in listed {
        let disabled = config.status.is_some_and(|status| status.eq_ignore_ascii_case("disabled"));
        let slug = config.toolkit.and_then(|toolkit| toolkit.slug).unwrap_or_default();
        let slug = slug.trim().to_lowercase();
        let Some(id) = config.id.filter(|id| !id.is_empty() && !disabled && !slug.is_empty()) else {
            continue;
        };
        let rank = (!config.is_composio_managed, config.last_updated_at.unwrap_or_default());
        let better = best.get(&slug).is_none_or(|(custom, at, _)| (*custom, at) < (rank.0, &rank.1));
        if better {
            best.insert(slug, (rank.0, rank.1, id));
        }
    }
    best.into_iter().map(|(slug, (_, _, id))| (slug, id)).collect()
}

/// An app as lists show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(title = "ComposioToolkit")]
pub struct Toolkit {
    pub slug: String,
    pub name: String,
    pub logo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Whether it can be connected here.
    pub connectable: bool,
}

/// Each app once, those that can be connected first, else in the order of the service.
pub fn shown(listed: Vec<ListedToolkit>, configs: &BySlug) -> Vec<Toolkit> {
    let mut seen = HashSet::new();
    let mut shown: Vec<Toolkit> = Vec::with_capacity(listed.len());
    for toolkit in listed {
        let slug = toolkit.slug.unwrap_or_default().trim().to_owned();
        let key = slug.to_lowercase();
        if slug.is_empty() || !seen.insert(key.clone()) {
            continue;
        }
        let category = toolkit.categories.unwrap_or_default().into_iter().next();
        shown.push(Toolkit {
            connectable: configs.contains_key(&key),
            name: toolkit.name.unwrap_or_default(),
            logo: toolkit
                .logo
                .filter(|logo| !logo.is_empty())
                .unwrap_or_else(|| format!("https://logos.composio.dev/api/{slug}")),
            category: category.and_then(category_name),
            slug,
        });
    }
    shown.sort_by_key(|toolkit| !toolkit.connectable);
    shown
}

/// A plain word, or an object that has a name.
fn category_name(category: Value) -> Option<String> {
    let name = match category {
        Value::String(name) => name,
        other => other.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::model::time::Clock;

    fn configs(list: Value) -> Vec<AuthConfig> {
        serde_json::from_value(list).unwrap_or_default()
    }

    fn config(id: &str, managed: bool, at: &str) -> Value {
        json!({"id": id, "toolkit": {"slug": " Notion"}, "is_composio_managed": managed, "last_updated_at": at})
    }

    #[test]
    fn a_projects_own_way_counts_before_the_services() {
        let counts = |list: Value| best(configs(list)).get("notion").cloned();
        let custom = |id: &str, at: &str| config(id, false, at);
        assert_eq!(counts(json!([config("m", true, "9"), custom("c", "1")])).as_deref(), Some("c"));
        assert_eq!(counts(json!([custom("a", "1"), custom("b", "2")])).as_deref(), Some("b"));
        assert_eq!(counts(json!([custom("a", "1"), custom("b", "1")])).as_deref(), Some("a"));
        let disabled = json!({"id": "x", "status": "Disabled", "toolkit": {"slug": "notion"}});
        assert_eq!(counts(json!([disabled, {"id": "", "toolkit": {"slug": "notion"}}, {"id": "y"}])), None);
    }

    #[tokio::test]
    async fn what_was_looked_up_is_remembered_and_kept_when_it_cannot_be() {
        let (known, asked) = (AuthConfigs::default(), AtomicUsize::new(0));
        let ask = async |now: Time, answer: Result<Value, UpstreamError>| {
            let found = known.find(now, || async {
                asked.fetch_add(1, Ordering::SeqCst);
                answer.map(configs)
            });
            found.await.map(|found| found.get("notion").cloned())
        };
        let broken = || Err(UpstreamError::Broken("x".to_owned()));
        let now = Clock::system().now();
        assert!(ask(now, broken()).await.is_err());
        assert!(matches!(ask(now, Ok(json!([config("a", true, "1")]))).await, Ok(Some(id)) if id == "a"));
        let soon = now + TimeDelta::seconds(299);
        assert!(matches!(ask(soon, broken()).await, Ok(Some(id)) if id == "a"));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // Too old, and nothing newer is to be had: each that asks tries again.
        for later in [300, 301] {
            let later = now + TimeDelta::seconds(later);
            assert!(matches!(ask(later, broken()).await, Ok(Some(id)) if id == "a"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn connectable_apps_come_first() {
        let listed = json!([
            {"slug": "Gmail", "name": "Gmail", "categories": ["mail", "work"]}, {"slug": " "},
            {"slug": "notion", "name": "Notion", "logo": "http://l", "categories": [{"name": "notes"}]},
            {"slug": "gmail"}, {"slug": "slack"},
        ]);
        let listed: Vec<ListedToolkit> = serde_json::from_value(listed).unwrap_or_default();
        let configs = BySlug::from([("notion".to_owned(), "a".to_owned())]);
        let slugs = |list: &[Toolkit]| list.iter().map(|toolkit| toolkit.slug.clone()).collect::<Vec<_>>();
        let found = shown(listed.clone(), &configs);
        assert_eq!(slugs(&found), ["notion", "Gmail", "slack"]);
        assert_eq!((found[0].logo.as_str(), found[0].category.as_deref()), ("http://l", Some("notes")));
        assert_eq!(found[1].logo, "https://logos.composio.dev/api/Gmail");
        assert_eq!(found[1].category.as_deref(), Some("mail"));
        assert_eq!(slugs(&shown(listed, &BySlug::new())), ["Gmail", "notion", "slack"]);
    }
}
