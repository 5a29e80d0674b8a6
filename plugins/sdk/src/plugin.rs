//! Who a plugin is, and how its stages become exports.

use crate::bindings::manifest::exports::switchyard::plugin::manifest;

pub use manifest::Description;

/// Every plugin says who it is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say who it is",
    note = "write `impl Plugin for {Self} {{ fn describe() -> Description {{ … }} }}`"
)]
pub trait Plugin {
    /// Called when a document is applied, never during a claim.
    fn describe() -> Description;
}

impl<P: Plugin> manifest::Guest for P {
    fn describe() -> Description {
        P::describe()
    }
}

impl Description {
    /// A plugin that takes no configuration. The name is lower-case words joined by hyphens
    /// (64 bytes at the most), the version a semantic one, the summary a sentence for the
    /// operator.
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            config_schema: None,
            attributes: Vec::new(),
        }
    }

    /// With the JSON Schema (2020-12) that a configuration must satisfy.
    #[must_use]
    pub fn config_schema(mut self, schema: impl Into<String>) -> Self {
        self.config_schema = Some(schema.into());
        self
    }
}

/// Exports a plugin: `export!(Guard: enrichment)`, or several stages, as in
/// `export!(Guard: prepare, enrichment, finished)`.
///
/// The stages are `prepare`, `repo_resolution`, `mcp_overlay`, `squad_briefing`,
/// `enrichment` and `finished`; the type implements [`Plugin`] and the trait of each.
/// Written once in a crate, at the top of a module.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($stage:ident),+ $(,)?) => {
        const _: () = {
            const fn describes<P: $crate::Plugin>() {}
            describes::<$plugin>();
            $($crate::__stage!($plugin $stage);)+
        };
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "what the host calls by name")]
        const _: () = {
            $crate::bindings::manifest::export_manifest!($plugin with_types_in $crate::bindings::manifest);
            $($crate::__export_stage!($plugin $stage);)+
        };
    };
}

/// That the type implements a stage; fails to compile with the trait's own words.
#[doc(hidden)]
#[macro_export]
macro_rules! __stage {
    ($plugin:ident prepare) => {
        $crate::__serves!($plugin, $crate::prepare::Prepare);
    };
    ($plugin:ident repo_resolution) => {
        $crate::__serves!($plugin, $crate::repo_resolution::RepoResolution);
    };
    ($plugin:ident mcp_overlay) => {
        $crate::__serves!($plugin, $crate::mcp_overlay::McpOverlay);
    };
    ($plugin:ident squad_briefing) => {
        $crate::__serves!($plugin, $crate::squad_briefing::SquadBriefing);
    };
    ($plugin:ident enrichment) => {
        $crate::__serves!($plugin, $crate::enrichment::Enrichment);
    };
    ($plugin:ident finished) => {
        $crate::__serves!($plugin, $crate::finished::Finished);
    };
    ($plugin:ident $other:ident) => {
        compile_error!(concat!(
            "no stage is called `",
            stringify!($other),
            "`; there are prepare, repo_resolution, mcp_overlay, ",
            "squad_briefing, enrichment and finished"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __serves {
    ($plugin:ident, $stage:path) => {{
        const fn serves<P: $stage>() {}
        serves::<$plugin>();
    }};
}

/// The exports of one stage.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_stage {
    ($plugin:ident prepare) => {
        $crate::bindings::prepare::export_prepare!($plugin with_types_in $crate::bindings::prepare);
    };
    ($plugin:ident repo_resolution) => {
        $crate::bindings::repo_resolution::export_repo_resolution!(
            $plugin with_types_in $crate::bindings::repo_resolution
        );
    };
    ($plugin:ident mcp_overlay) => {
        $crate::bindings::mcp_overlay::export_mcp_overlay!($plugin with_types_in $crate::bindings::mcp_overlay);
    };
    ($plugin:ident squad_briefing) => {
        $crate::bindings::squad_briefing::export_squad_briefing!(
            $plugin with_types_in $crate::bindings::squad_briefing
        );
    };
    ($plugin:ident enrichment) => {
        $crate::bindings::enrichment::export_enrichment!($plugin with_types_in $crate::bindings::enrichment);
    };
    ($plugin:ident finished) => {
        $crate::bindings::finished::export_finished!($plugin with_types_in $crate::bindings::finished);
    };
    ($plugin:ident $other:ident) => {};
}
