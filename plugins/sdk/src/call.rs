//! What a plugin may ask of the call it answers.

use serde::de::DeserializeOwned;

use crate::{Call, Failure};

impl Call {
    /// The plugin's configuration, as the plugin's own type.
    ///
    /// The host has checked it against the schema of the manifest. What the schema lets
    /// through and the type does not take is a [`Failure`] with the code `bad-config`.
    ///
    /// ```
    /// # use switchyard_sdk::Call;
    /// #[derive(serde::Deserialize)]
    /// struct Config {
    ///     notice: String,
    /// }
    ///
    /// let call = Call::with_config(r#"{"notice":"freeze until Monday"}"#);
    /// assert_eq!(call.config::<Config>().unwrap().notice, "freeze until Monday");
    /// assert_eq!(Call::with_config("{}").config::<Config>().err().unwrap().code, "bad-config");
    /// ```
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.config)
            .map_err(|error| Failure::new("bad-config", format!("the configuration does not fit: {error}")))
    }

    /// A call with this configuration (JSON text), for the unit tests of a plugin.
    pub fn with_config(config: impl Into<String>) -> Self {
        Self {
            task_id: "00000000-0000-4000-8000-000000000001".into(),
            workspace_id: "00000000-0000-4000-8000-000000000002".into(),
            config: config.into(),
            deadline_ms: 1_000,
            attributes: Vec::new(),
        }
    }
}
