//! What daemons report of their machines: models they can run, skills on their disks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model that a provider offers on a machine. Members that a daemon leaves out stay out,
/// but for the two that every model has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Model {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub label: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub provider: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
}

/// How hard a model can be told to think.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Thinking {
    #[serde(deserialize_with = "list")]
    pub supported_levels: Vec<ThinkingLevel>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub default_level: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ThinkingLevel {
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    #[serde(deserialize_with = "or_default")]
    pub label: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A skill on a daemon's disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LocalSkill {
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(deserialize_with = "or_default")]
    pub source_path: String,
    #[serde(deserialize_with = "or_default")]
    pub provider: String,
    /// `provider` or `universal`: whose folder it is in.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub root: String,
    #[serde(deserialize_with = "or_default")]
    pub file_count: i64,
}

/// A list in which `null` is an entry with nothing set, and which may be `null` itself.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let entries = Option::<Vec<Option<T>>>::deserialize(deserializer)?;
    Ok(entries.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect())
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_comes_back_as_it_was_reported() -> anyhow::Result<()> {
        let full = json!({
            "id": "m", "label": "M", "provider": "p", "default": true,
            "thinking": {"supported_levels": [{"value": "low", "label": "Low"}], "default_level": "low"},
        });
        let model: Model = serde_json::from_value(full.clone())?;
        assert_eq!(serde_json::to_value(model)?, full);
        let bare: Model = serde_json::from_value(json!({"label": null, "default": false, "later": 1}))?;
        assert_eq!(serde_json::to_value(bare)?, json!({"id": "", "label": ""}));
        assert!(serde_json::from_value::<Model>(json!({"id": 5})).is_err());
        Ok(())
    }
}
