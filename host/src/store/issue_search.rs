//! Issues by what is written in and below them.

use super::issues::issue_columns;
use super::{Conn, StoreError};
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::issue::Issue;
use crate::model::search::{self, Terms, WORDS};

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Search {
    pub workspace_id: WorkspaceId,
    pub terms: Terms,
    /// The number that the phrase names.
    pub number: Option<i32>,
    pub include_closed: bool,
    pub limit: i64,
    pub offset: i64,
}

/// An issue that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    pub issue: Issue,
    /// Why it was found, the best reason first: its number, its title (whole, beginning,
    /// phrase, words), its description (phrase, words), a comment (phrase, words), or the
    /// words here and there.
    pub tier: i32,
    /// How many were found, on this page or not.
    pub total: i64,
}

from_row!(Hit { tier, total; issue });

/// All words of the search are in a text. `$op` is how the engine looks for one.
macro_rules! all_words {
    ($text:literal, $op:literal) => {
        concat!(
            "(",
            $text,
            $op,
            "$7 AND ($8 IS NULL OR ",
            $text,
            $op,
            "$8) AND ($9 IS NULL OR ",
            $text,
            $op,
            "$9) AND ($10 IS NULL OR ",
            $text,
            $op,
            "$10) AND ($11 IS NULL OR ",
            $text,
            $op,
            "$11) AND ($12 IS NULL OR ",
            $text,
            $op,
            "$12) AND ($13 IS NULL OR ",
            $text,
            $op,
            "$13) AND ($14 IS NULL OR ",
            $text,
            $op,
            "$14))"
        )
    };
}

/// One word is in the issue or below it.
macro_rules! somewhere {
    ($word:literal, $op:literal) => {
        concat!(
            "(",
            $word,
            " IS NULL OR title",
            $op,
            $word,
            " OR COALESCE(description, '')",
            $op,
            $word,
            " OR EXISTS (SELECT 1 FROM comment c WHERE c.issue_id = issue.id AND c.content",
            $op,
            $word,
            "))"
        )
    };
}

macro_rules! search_sql {
    ($op:literal) => {
        concat!(
            "WITH found AS MATERIALIZED (SELECT ", issue_columns!(), ", CASE
                WHEN number = $2 THEN 0
                WHEN title", $op, "$4 THEN 1
                WHEN title", $op, "$5 THEN 2
                WHEN title", $op, "$6 THEN 3
                WHEN ", all_words!("title", $op), " THEN 4
                WHEN COALESCE(description, '')", $op, "$6 THEN 5
                WHEN ", all_words!("COALESCE(description, '')", $op), " THEN 6
                WHEN EXISTS (SELECT 1 FROM comment c WHERE c.issue_id = issue.id AND c.content", $op, "$6) THEN 7
                WHEN EXISTS (SELECT 1 FROM comment c WHERE c.issue_id = issue.id AND ",
                    all_words!("c.content", $op), ") THEN 8
                WHEN ", somewhere!("$7", $op), " AND ", somewhere!("$8", $op), " AND ", somewhere!("$9", $op),
                " AND ", somewhere!("$10", $op), " AND ", somewhere!("$11", $op), " AND ",
                somewhere!("$12", $op), " AND ", somewhere!("$13", $op), " AND ", somewhere!("$14", $op), " THEN 9
                END AS tier
            FROM issue WHERE workspace_id = $1 AND ($3 OR status NOT IN ('done', 'cancelled')))
            SELECT ", issue_columns!(), ", tier, count(*) OVER () AS total FROM found WHERE tier IS NOT NULL
            ORDER BY tier, CASE status WHEN 'in_progress' THEN 0 WHEN 'in_review' THEN 1 WHEN 'todo' THEN 2
                WHEN 'blocked' THEN 3 WHEN 'backlog' THEN 4 WHEN 'done' THEN 5 ELSE 6 END, updated_at DESC, id
            LIMIT $15 OFFSET $16"
        )
    };
}

/// What was found, the best first. Neither engine's own comparison knows the case of every
/// letter: SQLite looks with regular expressions, PostgreSQL by a collation of its own.
pub async fn search(conn: &mut Conn, search: &Search) -> Result<Vec<Hit>, StoreError> {
    let sql =
        by_engine!(conn, sqlite: search_sql!(" REGEXP "), postgres: search_sql!(" COLLATE any_case ILIKE "));
    let (phrase, words) = (&search.terms.phrase, &search.terms.words);
    let exact = by_engine!(conn,
        sqlite: search::whole(phrase), postgres: search::pattern(phrase));
    let prefix = by_engine!(conn,
        sqlite: search::beginning(phrase), postgres: format!("{}%", search::pattern(phrase)));
    let anywhere = part(conn, phrase);
    let mut parts: Vec<Option<String>> = words.iter().map(|word| Some(part(conn, word))).collect();
    parts.resize(WORDS, None);
    Ok(on_conn!(conn, |c| {
        let mut query = sqlx::query_as(sql)
            .bind(search.workspace_id)
            .bind(search.number)
            .bind(search.include_closed)
            .bind(exact)
            .bind(prefix)
            .bind(anywhere);
        for part in parts {
            query = query.bind(part);
        }
        query.bind(search.limit).bind(search.offset).fetch_all(c).await
    })?)
}

/// The first comment of an issue that has the phrase, or else any of the words.
pub async fn find_comment(
    conn: &mut Conn,
    issue: IssueId,
    terms: &Terms,
) -> Result<Option<String>, StoreError> {
    macro_rules! first {
        ($op:literal) => {
            concat!(
                "SELECT content FROM comment WHERE issue_id = $1 AND (content",
                $op,
                "$2 OR content",
                $op,
                "$3 OR content",
                $op,
                "$4 OR content",
                $op,
                "$5 OR content",
                $op,
                "$6 OR content",
                $op,
                "$7 OR content",
                $op,
                "$8 OR content",
                $op,
                "$9 OR content",
                $op,
                "$10) ORDER BY CASE WHEN content",
                $op,
                "$2 THEN 0 ELSE 1 END, created_at, id LIMIT 1"
            )
        };
    }
    let sql = by_engine!(conn, sqlite: first!(" REGEXP "), postgres: first!(" COLLATE any_case ILIKE "));
    let anywhere = part(conn, &terms.phrase);
    let mut parts: Vec<String> = terms.words.iter().map(|word| part(conn, word)).collect();
    // The phrase again where there are no more words.
    parts.resize(WORDS, anywhere.clone());
    Ok(on_conn!(conn, |c| {
        let mut query = sqlx::query_scalar(sql).bind(issue).bind(anywhere);
        for part in parts {
            query = query.bind(part);
        }
        query.fetch_optional(c).await
    })?)
}

/// How the engine is told to look for a text anywhere in another.
fn part(conn: &Conn, term: &str) -> String {
    by_engine!(conn, sqlite: search::expression(term), postgres: format!("%{}%", search::pattern(term)))
}
