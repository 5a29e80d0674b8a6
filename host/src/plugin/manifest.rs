//! What a plugin says of itself, and whether its configuration is what it asks for.

use serde_json::{Value, json};

use super::bindings::exports::switchyard::plugin::manifest::Description;

const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 64;
const MAX_SCHEMA: usize = 256 << 10;

/// Checks the manifest itself.
pub fn check(description: &Description) -> Result<(), String> {
    if description.name.is_empty() || description.name.len() > MAX_NAME {
        return Err(format!("the manifest's name must have 1 to {MAX_NAME} bytes"));
    }
    if description.version.is_empty() || description.version.len() > MAX_VERSION {
        return Err(format!("the manifest's version must have 1 to {MAX_VERSION} bytes"));
    }
    Ok(())
}

/// Where the configuration breaks the plugin's schema, as JSON Pointers within it; and what
/// is wrong there. An `Err` is about the schema itself.
pub fn check_config(schema: Option<&str>, config: &Value) -> Result<Vec<(String, String)>, String> {
    let schema = match schema {
        None => json!({"type": "object", "maxProperties": 0}),
        Some(text) if text.len() > MAX_SCHEMA => {
            return Err(format!("the manifest's schema is larger than {MAX_SCHEMA} bytes"));
        }
        Some(text) => serde_json::from_str(text)
            .map_err(|error| format!("the manifest's schema is not JSON: {error}"))?,
    };
    let validator = jsonschema::draft202012::new(&schema)
        .map_err(|error| format!("the manifest's schema is not a JSON Schema: {error}"))?;
    let faults = validator.iter_errors(config);
    Ok(faults.map(|error| (error.instance_path().to_string(), error.to_string())).take(100).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_has_its_place() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","items":{"type":"integer"}}},
            "required":["c"]}"#;
        let found = check_config(Some(schema), &json!({"a": 1, "b": [1, "x"]})).unwrap_or_default();
        let mut places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["", "/a", "/b/1"]);
    }

    #[test]
    fn without_a_schema_only_nothing_is_configured() {
        assert_eq!(check_config(None, &json!({})), Ok(Vec::new()));
        assert!(check_config(None, &json!({"a": 1})).is_ok_and(|faults| faults.len() == 1));
    }

    #[test]
    fn a_schema_must_be_one() {
        assert!(check_config(Some("{"), &json!({})).is_err());
        assert!(check_config(Some(r#"{"type": 5}"#), &json!({})).is_err());
        assert!(check_config(Some(r#"{"$ref": "https://example.com/schema.json"}"#), &json!({})).is_err());
    }
}
