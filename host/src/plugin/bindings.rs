//! Generated from `wit/`; nothing by hand.

#![allow(clippy::pedantic, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "every-stage",
    imports: {
        "switchyard:plugin/kv.get": async,
        "switchyard:plugin/kv.set": async,
        "switchyard:plugin/kv.delete": async,
        "switchyard:plugin/kv.increment": async,
        "switchyard:plugin/kv.keys": async,
        "switchyard:plugin/http.send": async,
    },
    exports: { default: async },
});
