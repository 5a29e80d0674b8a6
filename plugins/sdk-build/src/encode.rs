//! `switchyard-encode CORE COMPONENT`: makes a component of a core module that was built
//! with the SDK, whose custom sections say what it exports.

use std::process::ExitCode;

use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(core), Some(component), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: switchyard-encode CORE COMPONENT");
        return ExitCode::FAILURE;
    };
    match encode(&core, &component) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("switchyard-encode: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn encode(core: &str, component: &str) -> Result<(), String> {
    let module = std::fs::read(core).map_err(|error| format!("cannot read {core}: {error}"))?;
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    let bytes =
        encoder.and_then(|mut encoder| encoder.encode()).map_err(|error| format!("{core}: {error:#}"))?;
    std::fs::write(component, bytes).map_err(|error| format!("cannot write {component}: {error}"))
}
