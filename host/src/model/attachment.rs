//! A file that somebody uploaded, and what it hangs on.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{AttachmentId, ChatSessionId, CommentId, IssueId, WorkspaceId};
use super::time::{Time, seconds};

/// A row of `attachment`.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub id: AttachmentId,
    pub workspace_id: WorkspaceId,
    pub issue_id: Option<IssueId>,
    pub comment_id: Option<CommentId>,
    pub chat_session_id: Option<ChatSessionId>,
    pub chat_message_id: Option<Uuid>,
    /// `member` or `agent`.
    pub uploader_type: String,
    pub uploader_id: Uuid,
    pub filename: String,
    /// Ends in `/uploads/` and the key of the bytes.
    pub url: String,
    pub content_type: String,
    pub size_bytes: i64,
    pub created_at: Time,
}

/// An attachment as clients see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AttachmentBody {
    pub id: AttachmentId,
    pub workspace_id: WorkspaceId,
    pub issue_id: Option<IssueId>,
    pub comment_id: Option<CommentId>,
    pub chat_session_id: Option<ChatSessionId>,
    pub chat_message_id: Option<Uuid>,
    /// `member` or `agent`.
    pub uploader_type: String,
    pub uploader_id: Uuid,
    pub filename: String,
    pub url: String,
    /// Relative to the server.
    pub download_url: String,
    /// What a text links to.
    pub markdown_url: String,
    pub content_type: String,
    pub size_bytes: i64,
    pub created_at: String,
}

impl AttachmentBody {
    /// `public_url` is where the world reaches the gateway, if that is known.
    pub fn new(attachment: &Attachment, public_url: Option<&str>) -> Self {
        let download_url = format!("/api/attachments/{}/download", attachment.id);
        Self {
            id: attachment.id,
            workspace_id: attachment.workspace_id,
            issue_id: attachment.issue_id,
            comment_id: attachment.comment_id,
            chat_session_id: attachment.chat_session_id,
            chat_message_id: attachment.chat_message_id,
            uploader_type: attachment.uploader_type.clone(),
            uploader_id: attachment.uploader_id,
            filename: attachment.filename.clone(),
            url: attachment.url.clone(),
            markdown_url: format!("{}{download_url}", public_url.unwrap_or_default()),
            download_url,
            content_type: attachment.content_type.clone(),
            size_bytes: attachment.size_bytes,
            created_at: seconds(attachment.created_at),
        }
    }

    pub fn list(attachments: &[Attachment], public_url: Option<&str>) -> Vec<Self> {
        attachments.iter().map(|attachment| Self::new(attachment, public_url)).collect()
    }
}
