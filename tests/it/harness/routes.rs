//! Every route of the daemon plane, for what must hold on all of them.

/// Method, path, and whether the request has a body that is read.
pub const DAEMON_ROUTES: [(&str, &str, bool); 24] = [
    ("POST", "/api/daemon/register", true),
    ("POST", "/api/daemon/deregister", true),
    ("POST", "/api/daemon/heartbeat", true),
    ("GET", "/api/daemon/workspaces/{workspaceId}/repos", false),
    ("GET", "/api/daemon/workspaces/{workspaceId}/runtime-profiles", false),
    ("POST", "/api/daemon/runtimes/{runtimeId}/tasks/claim", false),
    ("POST", "/api/daemon/runtimes/{runtimeId}/tasks/{taskId}/skill-bundles/resolve", true),
    ("GET", "/api/daemon/runtimes/{runtimeId}/tasks/pending", false),
    ("POST", "/api/daemon/runtimes/{runtimeId}/tasks/{taskId}/prepare-lease", false),
    ("POST", "/api/daemon/runtimes/{runtimeId}/recover-orphans", false),
    ("POST", "/api/daemon/tasks/{taskId}/start", false),
    ("POST", "/api/daemon/tasks/{taskId}/wait-local-directory", true),
    ("POST", "/api/daemon/tasks/{taskId}/progress", true),
    ("POST", "/api/daemon/tasks/{taskId}/usage", true),
    ("POST", "/api/daemon/tasks/{taskId}/complete", true),
    ("POST", "/api/daemon/tasks/{taskId}/fail", true),
    ("POST", "/api/daemon/tasks/{taskId}/messages", true),
    ("GET", "/api/daemon/tasks/{taskId}/messages", false),
    ("GET", "/api/daemon/tasks/{taskId}/status", false),
    ("POST", "/api/daemon/tasks/{taskId}/session", true),
    ("GET", "/api/daemon/issues/{issueId}/gc-check", false),
    ("GET", "/api/daemon/chat-sessions/{sessionId}/gc-check", false),
    ("GET", "/api/daemon/autopilot-runs/{runId}/gc-check", false),
    ("GET", "/api/daemon/tasks/{taskId}/gc-check", false),
];
