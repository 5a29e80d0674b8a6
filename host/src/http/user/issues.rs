//! `/api/issues`: the board. What belongs to one issue but is a noun of its own (its
//! comments, its tasks) has a file of its own and is put under the same prefix here.

use utoipa_axum::router::OpenApiRouter;

use super::{comments, mount_scoped, tasks};
use crate::app::App;

pub fn routes(app: &App) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().merge(tasks::on_issues()).merge(comments::on_issues());
    mount_scoped(app, "/api/issues", routes)
}
