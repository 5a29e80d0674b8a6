//! Lines for the gateway's log. The host adds the plugin's name and the task, cuts a line at
//! 1 KiB and drops what exceeds 64 lines a call. In native tests they go to stderr.

use crate::bindings::shared::switchyard::plugin::log;

pub use log::Level;

/// What helps the plugin's author.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// What an operator may want to know.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// What an operator should look at.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// What went wrong.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

/// A line of the given level.
pub fn write(level: Level, message: &str) {
    if cfg!(target_arch = "wasm32") {
        log::write(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}
