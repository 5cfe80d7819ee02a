//! `sqlx migrate run` without the rest of its CLI: applies a folder to the database of the `PG…` variables.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

fn main() -> Result<(), MigrateError> {
    let folder = std::env::args_os().nth(1).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(PgConnectOptions::new()).await?;
        let done = Migrator::new(Path::new(&folder)).await?.run(&pool).await;
        pool.close().await;
        done
    })
}
