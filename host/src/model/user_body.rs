//! A person as answers show them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ids::UserId;
use super::time::seconds;
use super::workspace::User;

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "User")]
pub struct UserBody {
    pub id: UserId,
    pub name: String,
    pub email: String,
    pub avatar_url: Option<String>,
    pub language: Option<String>,
    /// An IANA name.
    pub timezone: Option<String>,
    #[schema(format = DateTime)]
    pub onboarded_at: Option<String>,
    #[schema(value_type = Object)]
    pub onboarding_questionnaire: Value,
    pub starter_content_state: Option<String>,
    pub profile_description: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl From<User> for UserBody {
    fn from(row: User) -> Self {
        let questionnaire = row.onboarding_questionnaire;
        Self {
            id: row.id,
            name: row.name,
            email: row.email,
            avatar_url: row.avatar_url,
            language: row.language,
            timezone: row.timezone,
            onboarded_at: row.onboarded_at.map(seconds),
            onboarding_questionnaire: if questionnaire.is_object() {
                questionnaire
            } else {
                Value::Object(serde_json::Map::new())
            },
            starter_content_state: row.starter_content_state,
            profile_description: row.profile_description,
            created_at: seconds(row.created_at),
            updated_at: seconds(row.updated_at),
        }
    }
}
