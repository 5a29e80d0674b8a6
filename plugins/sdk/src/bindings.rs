//! Bindings generated from `wit/`: the shared types, and a world of its own for each export,
//! so that a component declares only what its plugin implements.

#![allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    reason = "written by wit-bindgen; the public items are re-exported with their docs"
)]

/// What every stage shares, and what a plugin may import. A component declares what it uses.
pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r"
            package switchyard:sdk;
            world shared {
                import switchyard:plugin/types@1.0.0;
                import switchyard:plugin/log@1.0.0;
                import switchyard:plugin/kv@1.0.0;
                import switchyard:plugin/http@1.0.0;
                import switchyard:plugin/secrets@1.0.0;
                import switchyard:plugin/clock@1.0.0;
                import switchyard:plugin/random@1.0.0;
            }
        ",
        additional_derives: [PartialEq, Eq],
        generate_unused_types: true,
        generate_all,
    });
}

macro_rules! exported {
    ($module:ident, $interface:literal, $export_macro:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $interface,
                with: { "switchyard:plugin/types@1.0.0": crate::bindings::shared::switchyard::plugin::types },
                additional_derives: [PartialEq, Eq],
                pub_export_macro: true,
                export_macro_name: $export_macro,
                disable_custom_section_link_helpers: true,
            });
        }
    };
}

exported!(
    manifest,
    "package switchyard:sdk; world manifest { export switchyard:plugin/manifest@1.0.0; }",
    "export_manifest"
);
exported!(
    prepare,
    "package switchyard:sdk; world prepare { export switchyard:plugin/prepare@1.0.0; }",
    "export_prepare"
);
exported!(
    repo_resolution,
    "package switchyard:sdk; world repo-resolution { export switchyard:plugin/repo-resolution@1.0.0; }",
    "export_repo_resolution"
);
exported!(
    mcp_overlay,
    "package switchyard:sdk; world mcp-overlay { export switchyard:plugin/mcp-overlay@1.0.0; }",
    "export_mcp_overlay"
);
exported!(
    squad_briefing,
    "package switchyard:sdk; world squad-briefing { export switchyard:plugin/squad-briefing@1.0.0; }",
    "export_squad_briefing"
);
exported!(
    enrichment,
    "package switchyard:sdk; world enrichment { export switchyard:plugin/enrichment@1.0.0; }",
    "export_enrichment"
);
exported!(
    finished,
    "package switchyard:sdk; world finished { export switchyard:plugin/finished@1.0.0; }",
    "export_finished"
);
