//! Generated from `wit/`; nothing by hand.

#![allow(clippy::pedantic, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "every-stage",
    exports: { default: async },
});
