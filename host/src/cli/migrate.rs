//! `switchyard migrate`

use super::data::DataArgs;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (_, db) = args.data.open().await?;
    db.close().await;
    println!("the schema is up to date");
    Ok(())
}
