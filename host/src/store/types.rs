//! How the model's own types are kept in a column.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Postgres, Sqlite, Type};
use uuid::Uuid;

use crate::model::agent::Toolkits;
use crate::model::ids::{
    AgentId, AttachmentId, AutopilotId, AutopilotRunId, ChatSessionId, CommentId, ConnectionId, DeliveryId,
    IssueId, LabelId, ProjectId, ResourceId, RuntimeId, SkillId, SquadId, TaskId, TriggerId, UserId,
    WorkspaceId,
};
use crate::model::status::TaskStatus;

/// An id is a `uuid`, or sixteen bytes where there is no such type.
macro_rules! ids {
    ($($name:ident),* $(,)?) => {$(
        ids!(@one $name, Sqlite);
        ids!(@one $name, Postgres);

        impl sqlx::postgres::PgHasArrayType for $name {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <Uuid as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }
    )*};
    (@one $name:ident, $db:ty) => {
        impl Type<$db> for $name {
            fn type_info() -> <$db as Database>::TypeInfo {
                <Uuid as Type<$db>>::type_info()
            }

            fn compatible(ty: &<$db as Database>::TypeInfo) -> bool {
                <Uuid as Type<$db>>::compatible(ty)
            }
        }

        impl<'q> Encode<'q, $db> for $name {
            fn encode_by_ref(&self, buf: &mut <$db as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <Uuid as Encode<'q, $db>>::encode_by_ref(&self.0, buf)
            }
        }

        impl<'r> Decode<'r, $db> for $name {
            fn decode(value: <$db as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                <Uuid as Decode<'r, $db>>::decode(value).map(Self)
            }
        }
    };
}

ids!(
    UserId,
    WorkspaceId,
    RuntimeId,
    AgentId,
    TaskId,
    IssueId,
    CommentId,
    ProjectId,
    ResourceId,
    SquadId,
    SkillId,
    LabelId,
    ChatSessionId,
    AutopilotId,
    AutopilotRunId,
    TriggerId,
    DeliveryId,
    AttachmentId,
    ConnectionId,
);

macro_rules! status {
    ($db:ty) => {
        impl Type<$db> for TaskStatus {
            fn type_info() -> <$db as Database>::TypeInfo {
                <String as Type<$db>>::type_info()
            }

            fn compatible(ty: &<$db as Database>::TypeInfo) -> bool {
                <String as Type<$db>>::compatible(ty)
            }
        }

        impl<'q> Encode<'q, $db> for TaskStatus {
            fn encode_by_ref(
                &self,
                buf: &mut <$db as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <&'q str as Encode<'q, $db>>::encode(self.as_str(), buf)
            }
        }

        impl<'r> Decode<'r, $db> for TaskStatus {
            fn decode(value: <$db as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let text = <&str as Decode<'r, $db>>::decode(value)?;
                Self::parse(text).ok_or_else(|| format!("unknown task status `{text}`").into())
            }
        }
    };
}

status!(Sqlite);
status!(Postgres);

// A list of texts is a `text[]`, or its JSON where there is no such type.
impl Type<Sqlite> for Toolkits {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &<Sqlite as Database>::TypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(ty)
    }
}

impl<'q> Encode<'q, Sqlite> for Toolkits {
    fn encode_by_ref(&self, buf: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<'q, Sqlite>>::encode(serde_json::to_string(&self.0)?, buf)
    }
}

impl<'r> Decode<'r, Sqlite> for Toolkits {
    fn decode(value: <Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_str(<&str as Decode<'r, Sqlite>>::decode(value)?)?))
    }
}

impl Type<Postgres> for Toolkits {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &<Postgres as Database>::TypeInfo) -> bool {
        <Vec<String> as Type<Postgres>>::compatible(ty)
    }
}

impl<'q> Encode<'q, Postgres> for Toolkits {
    fn encode_by_ref(&self, buf: &mut <Postgres as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<String> as Encode<'q, Postgres>>::encode_by_ref(&self.0, buf)
    }
}

impl<'r> Decode<'r, Postgres> for Toolkits {
    fn decode(value: <Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        <Vec<String> as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}
