//! 保険者 and the start of use of each (P-131, P-150).

use crate::door::Door;
use crate::engine::args;
use crate::error::readable;
use crate::{Keyring, Store, StoreError, Tx};
use kiban_domain::municipality::StartState;
use kiban_domain::{InsurerNumber, dates};

const SET_START: &str = "INSERT INTO insurer (insurer_number, start_state, start_on, mac) VALUES ($1, $2, $3, $4)
     ON CONFLICT (insurer_number) DO UPDATE SET start_state = excluded.start_state, start_on = excluded.start_on, mac = excluded.mac";
const STARTS: &str = "SELECT insurer_number, start_state, start_on, mac FROM insurer ORDER BY insurer_number";
const START_OF: &str = "SELECT insurer_number, start_state, start_on, mac FROM insurer WHERE insurer_number = $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[SET_START, STARTS, START_OF];

impl Tx {
    /// Sets the start of use of an insurer.
    pub async fn set_start(&mut self, insurer: InsurerNumber, start: StartState) -> Result<(), StoreError> {
        let day = start.date().map(dates::to_number);
        let mac = start_door(insurer.as_str(), start.code(), day).mac(&self.keys);
        self.raw.run(SET_START, args![insurer.as_str(), start.code(), day, &mac]).await?;
        Ok(())
    }
}

impl Store {
    /// Every start that is not 未定; rows that cannot be read are left out.
    pub async fn starts(&self) -> Result<Vec<(InsurerNumber, StartState)>, StoreError> {
        let rows = self.engine.rows(STARTS, args![]).await?;
        rows.iter().filter_map(|row| readable("insurer", self.start_row(row).map(Some)).transpose()).collect()
    }

    /// The start of use of one insurer; 未定 when nothing is recorded.
    pub async fn start_of(&self, insurer: InsurerNumber) -> Result<StartState, StoreError> {
        let rows = self.engine.rows(START_OF, args![insurer.as_str()]).await?;
        rows.first().map_or(Ok(StartState::Undecided), |row| self.start_row(row).map(|(_, start)| start))
    }

    fn start_row(&self, row: &crate::engine::Row) -> Result<(InsurerNumber, StartState), StoreError> {
        let insurer = InsurerNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("insurer"))?;
        Ok((insurer, start_from(&self.keys, insurer.as_str(), &row.text(1)?, row.int_or_null(2)?, &row.blob(3)?)))
    }
}

fn start_door(insurer: &str, code: &str, day: Option<i32>) -> Door {
    Door::new("insurer").text(insurer).text(code).maybe_number(day)
}

/// A start whose MAC fails is no start.
pub(crate) fn start_from(keys: &Keyring, insurer: &str, code: &str, day: Option<i32>, mac: &[u8]) -> StartState {
    if !start_door(insurer, code, day).fits(keys, mac) {
        return StartState::Undecided;
    }
    let day = day.and_then(|day| dates::from_number(day).ok());
    StartState::from_code(code, day).unwrap_or(StartState::Undecided)
}
