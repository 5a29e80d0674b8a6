//! How the story looks in a terminal.

use serde_json::Value;

pub fn chapter(title: &str) {
    println!("\n== {title}");
}

/// A name and what there is to say of it.
pub fn fact(name: &str, said: &str) {
    println!("   {name:<16} {said}");
}

/// Lines set apart.
pub fn block(text: &str) {
    for line in text.trim_end().lines() {
        println!("      | {line}");
    }
}

/// One operation of a JSON Patch.
pub fn change(change: &Value) {
    let member = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
    println!("      {} {}", member("op"), member("path"));
    for (label, name) in [("before", "was"), ("after", "value")] {
        if let Some(value) = change.get(name) {
            println!("      {label}:");
            match value {
                Value::String(text) => block(text),
                other => block(&serde_json::to_string_pretty(other).unwrap_or_default()),
            }
        }
    }
}
