//! An outbox in PostgreSQL, as one writes it by hand: prepared statements, a pool of connections,
//! and a commit that is on disk (`synchronous_commit = on`) before the 202.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_postgres::{Client, NoTls, Statement};

use super::{Event, Failure, WAITING, Waiting, group};

/// What was fastest of 8, 16, 32 and 64 with 64 connections of the load on two cores.
const CONNECTIONS: usize = 32;
/// The same of 1, 2 and 4, where one transaction has all that wait.
const GROUP_CONNECTIONS: usize = 2;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    headers text NOT NULL,
    body bytea NOT NULL
)";
/// One statement is one transaction: it is committed before it is answered.
const ONE: &str =
    "INSERT INTO outbox (received_at, headers, body) VALUES ($1, $2, $3) RETURNING id";
const MANY: &str = "INSERT INTO outbox (received_at, headers, body)
    SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::bytea[]) RETURNING id";

/// One connection with its statement.
struct Line {
    client: Client,
    insert: Statement,
}

impl Line {
    async fn open(url: &str, insert: &str) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute("SET synchronous_commit = on").await?;
        let insert = client.prepare(insert).await?;
        Ok(Self { client, insert })
    }
}

async fn make_table(url: &str) -> Result<(), Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client.batch_execute(TABLE).await?)
}

/// Connections of which each has one transaction at a time.
pub struct Pool {
    url: String,
    permits: Semaphore,
    idle: std::sync::Mutex<Vec<Line>>,
}

impl Pool {
    pub async fn open(url: &str, connections: usize) -> Result<Self, Failure> {
        make_table(url).await?;
        let connections = if connections == 0 { CONNECTIONS } else { connections };
        let mut idle = Vec::new();
        for _ in 0..connections {
            idle.push(Line::open(url, ONE).await?);
        }
        let permits = Semaphore::new(connections);
        Ok(Self { url: url.to_owned(), permits, idle: idle.into() })
    }

    pub async fn insert(&self, event: &Event) -> Result<i64, Failure> {
        let _permit = self.permits.acquire().await?;
        let line = self.idle.lock().expect("no panic").pop();
        // One that broke is replaced by the next who needs it.
        let line = match line {
            Some(line) if !line.client.is_closed() => line,
            _ => Line::open(&self.url, ONE).await?,
        };
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&event.received_at, &event.headers, &&event.body[..]];
        let row = line.client.query_one(&line.insert, &values).await?;
        self.idle.lock().expect("no panic").push(line);
        Ok(row.get(0))
    }
}

/// The best that can be had of PostgreSQL: all that wait are one statement. Gives where they wait.
pub async fn groups(url: &str, connections: usize) -> Result<mpsc::Sender<Waiting>, Failure> {
    make_table(url).await?;
    let (sender, waiting) = mpsc::channel(WAITING);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..if connections == 0 { GROUP_CONNECTIONS } else { connections } {
        let line = Line::open(url, MANY).await?;
        tokio::spawn(insert_groups(line, url.to_owned(), waiting.clone()));
    }
    Ok(sender)
}

async fn insert_groups(mut line: Line, url: String, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let group = {
            let mut waiting = waiting.lock().await;
            let Some(first) = waiting.recv().await else { return };
            group(first, &mut waiting)
        };
        if line.client.is_closed()
            && let Ok(new) = Line::open(&url, MANY).await
        {
            line = new;
        }

        let times: Vec<SystemTime> = group.iter().map(|(event, _)| event.received_at).collect();
        let headers: Vec<&str> = group.iter().map(|(event, _)| &*event.headers).collect();
        let bodies: Vec<&[u8]> = group.iter().map(|(event, _)| &event.body[..]).collect();
        // When it fails, the senders of the answers are dropped.
        let Ok(rows) = line.client.query(&line.insert, &[&times, &headers, &bodies]).await else {
            continue;
        };
        for (row, (_, answer)) in rows.iter().zip(group) {
            let _ = answer.send(row.get(0));
        }
    }
}
