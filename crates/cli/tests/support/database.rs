//! The database seen past the server: plain SQL, every column as text.

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

/// A connection of the checker's own.
pub enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A row, every column as text.
pub type Texts = Vec<String>;

impl Database {
    pub async fn open(address: &str) -> Self {
        match address.strip_prefix("sqlite:") {
            Some(path) => Self::Sqlite(SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap()),
            None => Self::Postgres(PgConnection::connect(address).await.unwrap()),
        }
    }

    /// Rows of a statement whose columns are all texts; NULL reads as empty.
    pub async fn rows(&mut self, sql: &str) -> Vec<Texts> {
        macro_rules! texts {
            ($rows:expr) => {
                $rows
                    .iter()
                    .map(|row| {
                        (0..row.len()).map(|i| row.get::<Option<String>, _>(i).unwrap_or_default()).collect::<Texts>()
                    })
                    .collect()
            };
        }
        let query = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => texts!(sqlx::query(query).fetch_all(connection).await.unwrap()),
            Self::Postgres(connection) => texts!(sqlx::query(query).fetch_all(connection).await.unwrap()),
        }
    }

    /// From here to [`Database::leave`] every question sees the same moment, whatever a running server does meanwhile.
    pub async fn enter(&mut self) {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        };
        self.run(begin).await;
    }

    /// Ends what [`Database::enter`] began.
    pub async fn leave(&mut self) {
        self.run("COMMIT").await;
    }

    /// Runs a statement; rows changed.
    pub async fn run(&mut self, sql: &str) -> u64 {
        let query = sqlx::AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query(query).execute(connection).await.unwrap().rows_affected(),
            Self::Postgres(connection) => sqlx::query(query).execute(connection).await.unwrap().rows_affected(),
        }
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

/// The address of another database of the same PostgreSQL server.
pub fn sibling(address: &str, name: &str) -> String {
    let (before, after) = address.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap();
    match after.split_once('?') {
        Some((_, query)) => format!("postgres://{before}/{name}?{query}"),
        None => format!("postgres://{before}/{name}"),
    }
}

/// A fresh database of a PostgreSQL server, empty or a copy of another one. Nothing is connected to either.
pub async fn create(server: &str, name: &str, template: Option<&str>) -> String {
    let mut admin = Database::open(server).await;
    admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
    admin.run(&format!("CREATE DATABASE {name}{template}")).await;
    admin.close().await;
    sibling(server, name)
}

pub async fn drop_database(server: &str, name: &str) {
    let mut admin = Database::open(server).await;
    admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    admin.close().await;
}
