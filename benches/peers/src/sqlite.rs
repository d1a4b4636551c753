//! An outbox in SQLite: WAL with `synchronous = FULL`, so that each commit is synced. One thread
//! writes, and commits all that wait at once, which is the best that SQLite can do: it has one
//! writer at a time.

use std::time::UNIX_EPOCH;

use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::{Event, Failure, WAITING, Waiting, group};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
)";
const INSERT: &str = "INSERT INTO outbox (received_at, headers, body) VALUES (?1, ?2, ?3)";

/// Starts the thread that writes; gives where events wait for it.
pub fn open(file: &str) -> Result<mpsc::Sender<Waiting>, Failure> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(TABLE, [])?;

    let (sender, mut waiting) = mpsc::channel(WAITING);
    std::thread::Builder::new().name("sqlite".to_owned()).spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let group = group(first, &mut waiting);
            // When it fails, the senders of the answers are dropped.
            let Ok(numbers) = commit(&mut connection, &group) else { continue };
            for (number, (_, answer)) in numbers.into_iter().zip(group) {
                let _ = answer.send(number);
            }
        }
    })?;
    Ok(sender)
}

fn commit(connection: &mut Connection, group: &[Waiting]) -> rusqlite::Result<Vec<i64>> {
    let transaction = connection.transaction()?;
    let mut numbers = Vec::with_capacity(group.len());
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for (Event { received_at, headers, body }, _) in group {
            let since = received_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
            numbers.push(insert.insert(params![micros, headers, &body[..]])?);
        }
    }
    transaction.commit()?;
    Ok(numbers)
}
