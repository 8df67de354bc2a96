//! Finds the row that the target refuses, because for data exceptions the server names neither table nor row.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};

use super::execute::APPLY;
use super::quarantine::{Suspect, rows_of, try_rows};
use super::staged::Attempt;
use crate::failure::{Failure, Place};
use crate::model::mutation::hex;
use crate::target::pool::failure;

/// Hexadecimal digits of a key's digest that are told; enough to find the row among those staged.
const DIGEST_DIGITS: usize = 12;

/// Adds table and row to the failure of a slice that holds a single timestamp. Stays silent about what it cannot
/// find, such as a row that is refused only together with others.
pub(super) async fn name_row(attempt: &Attempt<'_>, refused: Failure) -> Failure {
    match find(attempt, &refused).await {
        Ok(Some(row)) => {
            let mut digest = hex(&Sha256::digest(row.key.as_bytes()));
            digest.truncate(DIGEST_DIGITS);
            let table = Some(attempt.plans[row.table].table.id.clone());
            let place = Place { table, row: Some(digest), ..refused.place().clone() };
            refused.at(place)
        }
        Ok(None) | Err(_) => refused,
    }
}

/// Halves the rows as long as one half is refused for the same reason. Everything is taken back.
async fn find(attempt: &Attempt<'_>, refused: &Failure) -> Result<Option<Suspect>, Failure> {
    let fail = |e| failure(APPLY, e);
    let mut connection = attempt.database.connection().await?;
    let mut tx = connection.begin().await.map_err(fail)?;
    let mut rows = rows_of(&mut tx, attempt).await?;
    while rows.len() > 1 {
        let half = rows.split_off(rows.len() / 2);
        if is_refused(&mut tx, attempt, &half, refused).await? {
            rows = half;
        } else if !is_refused(&mut tx, attempt, &rows, refused).await? {
            return Ok(None);
        }
    }
    tx.rollback().await.map_err(fail)?;
    Ok(rows.pop())
}

async fn is_refused(
    tx: &mut PgConnection,
    attempt: &Attempt<'_>,
    rows: &[Suspect],
    refused: &Failure,
) -> Result<bool, Failure> {
    let why = try_rows(tx, attempt, rows).await?;
    Ok(why.is_some_and(|(sqlstate, _)| refused.sqlstate() == Some(&sqlstate)))
}
