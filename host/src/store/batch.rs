//! A list of ids as one bind value. Where a query takes one, its text differs by engine:
//! `IN (SELECT unhex(value) FROM json_each($1))` on SQLite, `= ANY($1)` on PostgreSQL.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Encode, Postgres, Sqlite, Type};
use uuid::Uuid;

/// Bound as a JSON list of hex texts, or as a `uuid[]`.
#[derive(Clone, Debug, Default)]
pub struct Ids(Vec<Uuid>);

impl Ids {
    pub fn of(ids: impl IntoIterator<Item = Uuid>) -> Self {
        Self(ids.into_iter().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Type<Sqlite> for Ids {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl<'q> Encode<'q, Sqlite> for Ids {
    fn encode_by_ref(&self, buf: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let hex: Vec<String> = self.0.iter().map(|id| id.simple().to_string()).collect();
        let text = serde_json::to_string(&hex)?;
        <String as Encode<'q, Sqlite>>::encode(text, buf)
    }
}

impl Type<Postgres> for Ids {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<Uuid> as Type<Postgres>>::type_info()
    }
}

impl<'q> Encode<'q, Postgres> for Ids {
    fn encode_by_ref(&self, buf: &mut <Postgres as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<Uuid> as Encode<'q, Postgres>>::encode_by_ref(&self.0, buf)
    }
}
