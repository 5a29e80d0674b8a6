//! How the model's own types are kept in a column.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Postgres, Sqlite, Type};
use uuid::Uuid;

use crate::model::ids::{
    AgentId, AutopilotRunId, ChatSessionId, CommentId, IssueId, ProjectId, ResourceId, RuntimeId, SkillId,
    SquadId, TaskId, UserId, WorkspaceId,
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
    ChatSessionId,
    AutopilotRunId,
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
