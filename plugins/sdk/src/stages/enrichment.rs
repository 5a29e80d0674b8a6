//! Stage `enrichment`: the last before the answer leaves. Plugins run in the order of
//! `plugins.toml`, each on what the one before it left.

use serde::Serialize;
use serde::de::Deserialize;

use crate::bindings::enrichment::exports::switchyard::plugin::enrichment as wit;
use crate::{Call, Failure};

pub use wit::{Decision, Denial, Entry, Input, Operation};

/// Changes the claim, or refuses that the task runs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `enrichment`",
    note = "write `impl Enrichment for {Self} {{ fn enrich(call: &Call, input: Input) -> Result<Decision, Failure> {{ … }} }}`"
)]
pub trait Enrichment {
    /// Operations the host checks against the plugin's grants and applies in order, or a
    /// denial.
    fn enrich(call: &Call, input: Input) -> Result<Decision, Failure>;
}

impl<P: Enrichment> wit::Guest for P {
    fn enrich(call: Call, input: Input) -> Result<Decision, Failure> {
        P::enrich(&call, input)
    }
}

impl Input {
    /// The claim as the plugin's own type, which names the members it needs and may borrow
    /// their text.
    ///
    /// ```
    /// # use switchyard_sdk::enrichment::Input;
    /// #[derive(serde::Deserialize)]
    /// struct Claim {
    ///     agent: Agent,
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Agent {
    ///     name: String,
    /// }
    ///
    /// let input = Input { claim: r#"{"agent":{"name":"Ada"}}"#.into(), attributes: vec![] };
    /// assert_eq!(input.claim::<Claim>().unwrap().agent.name, "Ada");
    /// ```
    pub fn claim<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_str(&self.claim).map_err(|error| {
            Failure::new("bad-claim", format!("the claim does not read as expected: {error}"))
        })
    }
}

impl Decision {
    /// Leaves the claim as it is.
    pub fn unchanged() -> Self {
        Self::Patch(Vec::new())
    }

    /// The task must not run: a stable code for programs, a reason for people.
    pub fn deny(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Deny(Denial { code: code.into(), reason: reason.into() })
    }
}

impl Operation {
    /// Appends a paragraph to `agent.instructions`.
    pub fn append_instructions(text: impl Into<String>) -> Self {
        Self::AppendInstructions(text.into())
    }

    /// Appends a paragraph to `workspace_context`.
    pub fn append_context(text: impl Into<String>) -> Self {
        Self::AppendContext(text.into())
    }

    /// Appends an argument to `agent.custom_args`.
    pub fn add_arg(argument: impl Into<String>) -> Self {
        Self::AddArg(argument.into())
    }

    /// Adds or replaces a server of `agent.mcp_config`. The server must serialise to a JSON
    /// object.
    pub fn put_mcp_server(name: impl Into<String>, server: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self::PutMcpServer(entry(name, server)?))
    }

    /// Adds or replaces a variable of `agent.custom_env`. Needs the grant `env` for the name.
    pub fn put_env(name: impl Into<String>, value: &str) -> Result<Self, Failure> {
        Ok(Self::PutEnv(entry(name, &value)?))
    }

    /// Replaces the member of the claim at a JSON Pointer such as `/agent/model`. Needs the
    /// grant `write` for the pointer.
    pub fn set(pointer: impl Into<String>, value: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self::Set(entry(pointer, value)?))
    }
}

fn entry(name: impl Into<String>, value: &impl Serialize) -> Result<Entry, Failure> {
    let name = name.into();
    match serde_json::to_string(value) {
        Ok(value) => Ok(Entry { name, value }),
        Err(error) => Err(Failure::new("not-json", format!("the value of {name:?} is not JSON: {error}"))),
    }
}
