//! `switchyard bootstrap`: the first user, the workspace it owns, and tokens for both
//! planes. Doing it again makes nothing twice and hands out fresh tokens.

use serde_json::{Value, json};

use super::data::DataArgs;
use crate::auth::token;
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::time::{Clock, Time};
use crate::model::workspace::{Workspace, default_issue_prefix};
use crate::store::{Conn, Db, StoreError, tokens, users, workspaces};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// The user's e-mail address
    #[arg(long)]
    email: String,
    /// The user's name
    #[arg(long)]
    name: String,
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    workspace: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a bootstrap hands over. The tokens are shown only here.
pub struct Bootstrapped {
    pub user_id: UserId,
    pub workspace_id: WorkspaceId,
    pub token: String,
    pub admin_token: String,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (_, db) = args.data.open().await?;
    let made = bootstrap(&db, &args.email, &args.name, &args.workspace).await?;
    db.close().await;
    if args.json {
        println!(
            "{}",
            json!({
                "user_id": made.user_id,
                "workspace_id": made.workspace_id,
                "token": made.token,
                "admin_token": made.admin_token,
            })
        );
    } else {
        println!("user        {}", made.user_id);
        println!("workspace   {}", made.workspace_id);
        println!("token       {}", made.token);
        println!("admin token {}", made.admin_token);
    }
    Ok(())
}

pub async fn bootstrap(db: &Db, email: &str, name: &str, slug: &str) -> anyhow::Result<Bootstrapped> {
    let (email, name, slug) =
        (email.trim().to_lowercase(), name.trim().to_owned(), slug.trim().to_lowercase());
    anyhow::ensure!(email.contains('@'), "--email must be an e-mail address");
    anyhow::ensure!(!name.is_empty(), "--name must not be blank");
    anyhow::ensure!(is_slug(&slug), "--workspace must be lower-case letters, digits and single hyphens");
    let personal = token::mint(token::PERSONAL)?;
    let admin = token::mint(token::ADMIN)?;
    let now = Clock::system().now();
    let (hash, admin_hash, prefix) = (token::hash(&personal), token::hash(&admin), personal[..12].to_owned());
    let made: Result<(UserId, WorkspaceId), StoreError> = db
        .write(move |c| {
            Box::pin(async move {
                let user_id = find_or_make_user(c, &email, &name, now).await?;
                let workspace_id = find_or_make_workspace(c, &slug, now).await?;
                users::insert_member(c, workspace_id, user_id, "owner", now).await?;
                tokens::insert_personal(c, user_id, "bootstrap", &hash, &prefix, None, now).await?;
                tokens::insert_admin(c, &admin_hash, now).await?;
                Ok((user_id, workspace_id))
            })
        })
        .await;
    let (user_id, workspace_id) = made?;
    Ok(Bootstrapped { user_id, workspace_id, token: personal, admin_token: admin })
}

async fn find_or_make_user(
    conn: &mut Conn,
    email: &str,
    name: &str,
    now: Time,
) -> Result<UserId, StoreError> {
    if let Some(id) = users::find_by_email(conn, email).await? {
        return Ok(id);
    }
    let id = UserId::new();
    users::insert(conn, id, name, email, now).await?;
    Ok(id)
}

async fn find_or_make_workspace(conn: &mut Conn, slug: &str, now: Time) -> Result<WorkspaceId, StoreError> {
    if let Some(id) = workspaces::find_id_by_slug(conn, slug).await? {
        return Ok(id);
    }
    let workspace = Workspace {
        id: WorkspaceId::new(),
        name: slug.to_owned(),
        slug: slug.to_owned(),
        description: None,
        context: None,
        avatar_url: None,
        settings: json!({}),
        repos: Value::Array(Vec::new()),
        issue_prefix: default_issue_prefix(slug),
        created_at: now,
        updated_at: now,
    };
    workspaces::insert(conn, &workspace).await?;
    Ok(workspace.id)
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}
