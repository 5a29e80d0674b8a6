//! A daemon says which agent CLIs it has.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::legacy;
use crate::app::App;
use crate::auth::Identity;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Caller;
use crate::http::sorted::Sorted;
use crate::model::ids::{RuntimeId, UserId, WorkspaceId, parse_uuid};
use crate::model::profile::Profile;
use crate::model::runtime::{NewRuntime, Runtime, RuntimeBody};
use crate::model::workspace::{Repo, normalised_repos, repos_version};
use crate::store::{StoreError, profiles, runtimes, workspaces};
use crate::telemetry::metrics;

/// The most entries that each list of a registration may have.
const ENTRIES: usize = 256;
const UNRESOLVED: &str = "custom runtime command could not be resolved";

/// A daemon and its runtimes in one workspace.
#[derive(Deserialize, ToSchema)]
#[schema(as = DaemonRegistration)]
pub(super) struct Registration {
    workspace_id: Option<String>,
    daemon_id: Option<String>,
    /// Names the daemon used before; what was registered under them is taken over.
    legacy_daemon_ids: Option<Vec<Option<String>>>,
    device_name: Option<String>,
    cli_version: Option<String>,
    launched_by: Option<String>,
    /// At most 256; with `failed_profiles` at least one.
    runtimes: Option<Vec<Option<Entry>>>,
    /// Custom runtimes whose command this machine does not have.
    failed_profiles: Option<Vec<Option<FailedProfile>>>,
}

#[derive(Deserialize, Default, ToSchema)]
#[schema(as = RuntimeEntry)]
struct Entry {
    name: Option<String>,
    /// The provider.
    #[serde(rename = "type")]
    kind: Option<String>,
    version: Option<String>,
    /// `offline`; anything else is online.
    status: Option<String>,
    /// The profile of a custom runtime.
    profile_id: Option<String>,
}

#[derive(Deserialize, Default, ToSchema)]
struct FailedProfile {
    profile_id: Option<String>,
    command_name: Option<String>,
    reason: Option<String>,
}

/// The runtimes as they are kept, and what agents of the workspace may check out.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredDaemon)]
pub(super) struct Registered {
    /// In the order in which they were sent; without the failed profiles.
    runtimes: Vec<RuntimeBody>,
    repos: Vec<Repo>,
    /// 64 hex digits; the same as long as the URLs are.
    repos_version: String,
    /// The workspace's settings; `null` when it has none.
    settings: Value,
}

/// A daemon says which agent CLIs it has. Repeating it is harmless.
// Not a transaction: what was registered before an entry that is refused stays.
#[utoipa::path(post, path = "/api/daemon/register", tag = "daemon", request_body = Registration,
    responses((status = 200, body = Registered),
        (status = 404, body = ErrorBody, description = "No such workspace, or not the caller's"),
        (status = 409, body = ErrorBody, description = "A profile is disabled")))]
pub(super) async fn register(
    app: App,
    caller: Caller,
    Body(sent): Body<Registration>,
) -> Result<Sorted<Registered>, Error> {
    let daemon = Daemon::check(&app, &caller, &sent).await?;
    let failed = |error| Error::internal("failed to load workspace", error);
    let workspace = workspaces::find(&mut app.db.reader().await.map_err(failed)?, daemon.workspace_id).await;
    let workspace = workspace.map_err(failed)?.ok_or_else(|| Error::not_found("workspace not found"))?;

    let mut registered = Vec::new();
    let mut merged = Vec::new();
    for entry in sent.runtimes.unwrap_or_default() {
        let runtime = daemon.register(&app, &entry.unwrap_or_default()).await?;
        if runtime.profile_id.is_none() {
            legacy::merge_all(&app, &runtime, &daemon.legacy_ids, &mut merged).await;
        }
        registered.push(RuntimeBody::from(runtime));
    }
    for entry in sent.failed_profiles.unwrap_or_default() {
        daemon.register_failed(&app, &entry.unwrap_or_default()).await?;
    }
    app.events.system(workspace.id, "daemon:register", || json!({"runtimes": registered}));
    let repos = normalised_repos(&workspace.repos);
    Ok(Sorted(Registered {
        runtimes: registered,
        repos_version: repos_version(&repos),
        repos,
        settings: workspace.settings,
    }))
}

/// What all entries of a registration share.
struct Daemon {
    workspace_id: WorkspaceId,
    id: String,
    legacy_ids: Vec<String>,
    device: String,
    cli_version: String,
    launched_by: String,
    owner_id: Option<UserId>,
}

impl Daemon {
    async fn check(app: &App, caller: &Caller, sent: &Registration) -> Result<Self, Error> {
        let id = trimmed(sent.daemon_id.as_deref());
        if id.is_empty() {
            return Err(Error::bad_request("daemon_id is required"));
        }
        let workspace = trimmed(sent.workspace_id.as_deref());
        if workspace.is_empty() {
            return Err(Error::bad_request("workspace_id is required"));
        }
        let count = |length: Option<usize>| length.unwrap_or(0);
        let runtimes = count(sent.runtimes.as_ref().map(Vec::len));
        let failed = count(sent.failed_profiles.as_ref().map(Vec::len));
        let legacy = count(sent.legacy_daemon_ids.as_ref().map(Vec::len));
        if runtimes == 0 && failed == 0 {
            return Err(Error::bad_request("at least one runtime or failed profile is required"));
        }
        for (name, length) in
            [("runtimes", runtimes), ("failed_profiles", failed), ("legacy_daemon_ids", legacy)]
        {
            if length > ENTRIES {
                return Err(Error::bad_request(format!(
                    "{name} has {length} entries; send at most {ENTRIES}"
                )));
            }
        }
        let workspace_id =
            WorkspaceId::parse(&workspace).ok_or_else(|| Error::bad_request("invalid workspace_id"))?;
        if !may_register(app, caller, workspace_id).await? {
            return Err(Error::not_found("workspace not found"));
        }
        let legacy_ids = sent.legacy_daemon_ids.iter().flatten();
        Ok(Self {
            workspace_id,
            id,
            legacy_ids: legacy_ids.map(|id| trimmed(id.as_deref())).filter(|id| !id.is_empty()).collect(),
            device: trimmed(sent.device_name.as_deref()),
            cli_version: sent.cli_version.clone().unwrap_or_default(),
            launched_by: sent.launched_by.clone().unwrap_or_default(),
            owner_id: caller.user_id(),
        })
    }

    async fn register(&self, app: &App, entry: &Entry) -> Result<Runtime, Error> {
        let mut provider = trimmed(entry.kind.as_deref()).to_lowercase();
        if provider.is_empty() {
            "unknown".clone_into(&mut provider);
        }
        let version = entry.version.clone().unwrap_or_default();
        let mut name = trimmed(entry.name.as_deref());
        if name.is_empty() {
            name = self.named(&provider);
        }
        let wanted = trimmed(entry.profile_id.as_deref());
        let mut profile_id = None;
        if !wanted.is_empty() {
            let profile = self.profile(app, &wanted).await?;
            let profile =
                profile.ok_or_else(|| Error::bad_request(format!("unknown runtime profile: {wanted}")))?;
            if !profile.enabled {
                return Err(Error::conflict(format!("runtime profile is disabled: {wanted}")));
            }
            provider = profile.protocol_family;
            profile_id = Some(profile.id);
        }
        let new = NewRuntime {
            name,
            provider,
            status: if entry.status.as_deref() == Some("offline") { "offline" } else { "online" },
            device_info: device_info(&self.device, &version),
            metadata: Value::Object(self.metadata(&version)),
            profile_id,
            ..self.runtime(app)
        };
        let stored = upsert(app, new).await;
        let stored =
            stored.map_err(|error| Error::internal(format!("failed to register runtime: {error}"), error))?;
        metrics::runtime_registered(&stored.provider);
        if stored.status == "online" {
            metrics::runtime_ready(&stored.provider);
        }
        Ok(stored)
    }

    /// Notes a custom runtime whose command this machine does not have. What is wrong with
    /// the profile itself is passed over; the daemon only reports.
    async fn register_failed(&self, app: &App, entry: &FailedProfile) -> Result<(), Error> {
        let wanted = trimmed(entry.profile_id.as_deref());
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(profile) = self.profile(app, &wanted).await?.filter(|profile| profile.enabled) else {
            return Ok(());
        };
        let or = |text: Option<&str>, default: &str| {
            let text = trimmed(text);
            if text.is_empty() { default.to_owned() } else { text }
        };
        let mut metadata = self.metadata("");
        metadata.insert("runtime_profile_registration_error".to_owned(), true.into());
        metadata.insert(
            "runtime_profile_failure_reason".to_owned(),
            or(entry.reason.as_deref(), UNRESOLVED).into(),
        );
        metadata.insert(
            "command_name".to_owned(),
            or(entry.command_name.as_deref(), &profile.command_name).into(),
        );
        let new = NewRuntime {
            name: self.named(&profile.display_name),
            provider: profile.protocol_family,
            status: "offline",
            device_info: self.device.clone(),
            metadata: Value::Object(metadata),
            profile_id: Some(profile.id),
            ..self.runtime(app)
        };
        if let Err(error) = upsert(app, new).await {
            tracing::warn!(profile.id = %profile.id, %error, "a failed runtime profile was not recorded");
        }
        Ok(())
    }

    async fn profile(&self, app: &App, id: &str) -> Result<Option<Profile>, Error> {
        let id: Uuid = parse_uuid(id).ok_or_else(|| Error::bad_request("invalid profile_id"))?;
        let failed = |error| Error::internal("failed to load runtime profile", error);
        let mut conn = app.db.reader().await.map_err(failed)?;
        profiles::find(&mut conn, self.workspace_id, id).await.map_err(failed)
    }

    fn runtime(&self, app: &App) -> NewRuntime {
        NewRuntime {
            id: RuntimeId::new(),
            workspace_id: self.workspace_id,
            daemon_id: self.id.clone(),
            name: String::new(),
            provider: String::new(),
            status: "offline",
            device_info: String::new(),
            metadata: Value::Null,
            owner_id: self.owner_id,
            profile_id: None,
            now: app.clock.now(),
        }
    }

    fn named(&self, what: &str) -> String {
        if self.device.is_empty() { what.to_owned() } else { format!("{what} ({})", self.device) }
    }

    fn metadata(&self, version: &str) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("version".to_owned(), version.into());
        metadata.insert("cli_version".to_owned(), self.cli_version.clone().into());
        metadata.insert("launched_by".to_owned(), self.launched_by.clone().into());
        metadata
    }
}

/// Asks the database, not the cache: the answer decides who owns a row.
async fn may_register(app: &App, caller: &Caller, workspace: WorkspaceId) -> Result<bool, Error> {
    match &caller.0 {
        Identity::Daemon { workspace_id, .. } => Ok(*workspace_id == workspace),
        Identity::User { user_id } => {
            let role = app.auth.role(*user_id, workspace).await;
            let role = role.map_err(|error| Error::internal("failed to load workspace", error))?;
            Ok(role.is_some())
        }
        Identity::Task { .. } => Ok(false),
    }
}

async fn upsert(app: &App, new: NewRuntime) -> Result<Runtime, StoreError> {
    let stored: Result<Runtime, StoreError> =
        app.db.write(move |c| Box::pin(async move { runtimes::upsert(c, new).await })).await;
    if let Ok(runtime) = &stored {
        app.liveness.forget(runtime.id);
    }
    stored
}

fn device_info(device: &str, version: &str) -> String {
    match (device.is_empty(), version.is_empty()) {
        (false, false) => format!("{device} \u{b7} {version}"),
        (false, true) => device.to_owned(),
        (true, _) => version.to_owned(),
    }
}

fn trimmed(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::device_info;

    #[test]
    fn device_info_joins_what_there_is() {
        assert_eq!(device_info("mac", "1.0"), "mac · 1.0");
        assert_eq!(device_info("mac", ""), "mac");
        assert_eq!(device_info("", "1.0"), "1.0");
        assert_eq!(device_info("", ""), "");
    }
}
