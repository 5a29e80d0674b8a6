//! What the searches that give pages are asked with.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::error::Error;
use crate::http::query;
use crate::model::search::Terms;

const PAGE: i64 = 20;
const LARGEST_PAGE: i64 = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchSent {
    /// A phrase or words; of issues also a number or an identifier.
    q: Option<String>,
    /// 20 unless said otherwise, 50 at the most.
    limit: Option<String>,
    offset: Option<String>,
    /// `true`: also what is over.
    include_closed: Option<String>,
}

impl SearchSent {
    pub fn terms(&self) -> Result<Terms, Error> {
        let terms = Terms::read(self.q.as_deref().unwrap_or_default());
        terms.ok_or_else(|| Error::bad_request("q parameter is required"))
    }

    pub fn closed_too(&self) -> bool {
        self.include_closed.as_deref() == Some("true")
    }

    pub fn limit(&self) -> i64 {
        query::limit(self.limit.as_deref(), PAGE, LARGEST_PAGE)
    }

    pub fn offset(&self) -> i64 {
        query::offset(self.offset.as_deref())
    }
}
