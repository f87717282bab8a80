//! The step of the schema from which on more is under the door MACs: rows that were there before get the MACs they must have
//! from then on. It happens once, in the transaction of that step and never at a start: a start that blessed rows would
//! bless forged ones (T-9).

use crate::engine::{RawTx, args};
use crate::person::Version;
use crate::seal::MacKey;
use crate::{MasterKey, StoreError, disaster, keyring, receipt, slip};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey};

const COUNTERS: &str = "SELECT insurer_number FROM receipt_counter WHERE mac IS NULL ORDER BY insurer_number";
const OPEN: &str =
    "SELECT receipt_number FROM receipt WHERE insurer_number = $1 AND state = 'received' ORDER BY receipt_number";
const SET_OPEN: &str = "UPDATE receipt_counter SET open_receipts = $2, mac = $3 WHERE insurer_number = $1";
const SET_MODE: &str = "UPDATE disaster_mode SET mac = $2 WHERE mode_id = $1";
const PEOPLE: &str =
    "SELECT insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, mac FROM person
     WHERE (insurer_number, insured_number, history_number, revision) > ($1, $2, $3, $4)
     ORDER BY insurer_number, insured_number, history_number, revision LIMIT 1000";
const SET_PERSON: &str = "UPDATE person SET mac = $5
     WHERE insurer_number = $1 AND insured_number = $2 AND history_number = $3 AND revision = $4";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[COUNTERS, OPEN, SET_OPEN, SET_MODE, PEOPLE, SET_PERSON];

/// The database notes to which master key it belongs, and rows from before get their MACs; of a new database there are none.
pub(crate) async fn key_life(tx: &mut RawTx, master: Option<&MasterKey>) -> Result<(), StoreError> {
    let Some(door) = keyring::claim_from_before(tx, master).await? else { return Ok(()) };
    open_receipts(tx, &door).await?;
    disaster_modes(tx, &door).await?;
    people(tx, &door).await
}

/// Messages between offices get a MAC over all that became of them. One whose MAC does not fit stays as it is.
pub(crate) async fn slips(tx: &mut RawTx, master: Option<&MasterKey>) -> Result<(), StoreError> {
    if tx.rows(slip::FROM_BEFORE, args!["", ""]).await?.is_empty() {
        return Ok(());
    }
    match keyring::door_from_before(tx, master).await? {
        Some(door) => slips_under(tx, &door).await,
        None => Ok(()),
    }
}

async fn slips_under(tx: &mut RawTx, door: &MacKey) -> Result<(), StoreError> {
    let mut rows = tx.rows(slip::FROM_BEFORE, args!["", ""]).await?;
    while let Some(last) = rows.last() {
        let after = (last.text(0)?, last.text(1)?);
        for row in &rows {
            let [now, before] = slip::doors_of(row)?;
            if before.fits_under(door, &row.blob(15)?) {
                tx.run(slip::SET_MAC, args![&row.text(0)?, &row.text(1)?, &now.mac_under(door)]).await?;
            }
        }
        rows = tx.rows(slip::FROM_BEFORE, args![&after.0, &after.1]).await?;
    }
    Ok(())
}

async fn open_receipts(tx: &mut RawTx, door: &MacKey) -> Result<(), StoreError> {
    for counter in tx.rows(COUNTERS, args![]).await? {
        let number = counter.text(0)?;
        let insurer = InsurerNumber::parse(&number).map_err(|_| StoreError::Unreadable("receipt_counter"))?;
        let rows = tx.rows(OPEN, args![&number]).await?;
        let open: Vec<_> = rows.iter().map(|row| row.big(0).map(|n| n.to_string())).collect::<Result<_, _>>()?;
        let open = open.join(",");
        let mac = receipt::open_door(insurer, &open).mac_under(door);
        tx.run(SET_OPEN, args![&number, &open, &mac]).await?;
    }
    Ok(())
}

async fn disaster_modes(tx: &mut RawTx, door: &MacKey) -> Result<(), StoreError> {
    for row in tx.rows(disaster::MODES, args![]).await? {
        let [now, before] = disaster::doors_of(&row)?;
        if before.fits_under(door, &row.blob(12)?) {
            tx.run(SET_MODE, args![&row.text(0)?, &now.mac_under(door)]).await?;
        }
    }
    Ok(())
}

/// People from before there were versions: their MAC gets the 履歴番号. A MAC that does not fit stays as it is.
async fn people(tx: &mut RawTx, door: &MacKey) -> Result<(), StoreError> {
    let mut after = (String::new(), String::new(), 0, 0);
    loop {
        let rows = tx.rows(PEOPLE, args![&after.0, &after.1, after.2, after.3]).await?;
        for row in &rows {
            let (insurer, insured) = (row.text(0)?, row.text(1)?);
            let (history_number, revision) = (row.big(2)?, row.big(3)?);
            let key = PersonKey {
                insurer: InsurerNumber::parse(&insurer).map_err(|_| StoreError::Unreadable("person"))?,
                insured: InsuredNumber::parse(&insured).map_err(|_| StoreError::Unreadable("person"))?,
            };
            let card_insurer = row.text(4)?;
            let (withheld, gone_on) = (row.boolean(5)?, row.int_or_null(6)?);
            let version = Version { history_number, revision, withheld, gone_on, lifts: false };
            if version.door_before(&key, &card_insurer).fits_under(door, &row.blob(7)?) {
                let mac = version.door(&key, &card_insurer).mac_under(door);
                tx.run(SET_PERSON, args![&insurer, &insured, history_number, revision, &mac]).await?;
            }
            after = (insurer, insured, history_number, revision);
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::migrations::finish;
    use crate::statements;

    const PUT: &str = "INSERT INTO person (insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac)
         VALUES ('435073', $1, 1, 7, '435073', $2, NULL, $3, $3, $3)";

    async fn people_from_before_get_their_history_number_under_the_mac(engine: &Engine) {
        let door = MacKey::new(&[7; 32]);
        let version = |withheld| Version { history_number: 1, revision: 7, withheld, gone_on: None, lifts: false };
        let key = |number: &str| PersonKey {
            insurer: InsurerNumber::parse("435073").unwrap(),
            insured: InsuredNumber::parse(number).unwrap(),
        };
        let mut tx = engine.begin().await.unwrap();
        let (good, forged, new) = (key("0000000001"), key("0000000002"), key("0000000003"));
        for (person, withheld, mac) in [
            (good, true, version(true).door_before(&good, "435073").mac_under(&door)),
            // 不開示 taken away by hand.
            (forged, false, version(true).door_before(&forged, "435073").mac_under(&door)),
            (new, false, version(false).door(&new, "435073").mac_under(&door)),
        ] {
            tx.run(PUT, args![person.insured.as_str(), withheld, &mac]).await.unwrap();
        }
        people(&mut tx, &door).await.unwrap();
        let mut fits = Vec::new();
        for row in tx.rows(PEOPLE, args!["", "", 0i64, 0i64]).await.unwrap() {
            let person = key(&row.text(1).unwrap());
            let door_now = version(row.boolean(5).unwrap()).door(&person, "435073");
            fits.push(door_now.fits_under(&door, &row.blob(7).unwrap()));
        }
        assert_eq!(fits, [true, false, true]);
        finish(tx).await.unwrap();
    }

    const PUT_SLIP: &str = "INSERT INTO slip (receiver, slip_id, sender, serial, content, month, state, sent_at, sent_by, reply_to, digest, mac, about)
         VALUES ('4370100025', $1, '4370100017', length($1), 'actuals', '202604', 'sent', 9, 's', 'r', $2, $3, $2)";

    async fn messages_from_before_get_what_became_of_them_under_the_mac(engine: &Engine) {
        let mut tx = engine.begin().await.unwrap();
        // A database without keys has no such rows; the key is not asked for where there are none.
        slips(&mut tx, None).await.unwrap();
        let door = MacKey::new(&[7; 32]);
        let digest = [3u8; 32];
        tx.run(PUT_SLIP, args!["good", &digest, &digest]).await.unwrap();
        tx.run(PUT_SLIP, args!["forged", &digest, &digest]).await.unwrap();
        let rows = tx.rows(slip::FROM_BEFORE, args!["", ""]).await.unwrap();
        let good = rows.iter().find(|row| row.text(1).unwrap() == "good").unwrap();
        let [_, before] = slip::doors_of(good).unwrap();
        tx.run(slip::SET_MAC, args!["4370100025", "good", &before.mac_under(&door)]).await.unwrap();
        slips_under(&mut tx, &door).await.unwrap();
        let mut fits = Vec::new();
        for row in tx.rows(slip::FROM_BEFORE, args!["", ""]).await.unwrap() {
            let [now, _] = slip::doors_of(&row).unwrap();
            fits.push((row.text(1).unwrap(), now.fits_under(&door, &row.blob(15).unwrap())));
        }
        assert_eq!(fits, [("forged".to_owned(), false), ("good".to_owned(), true)]);
        finish(tx).await.unwrap();
    }

    #[tokio::test]
    async fn sqlite_messages_from_before_are_brought_up_to_date_and_forged_ones_are_not() {
        let (_folder, engine, _) = statements::sqlite().await;
        messages_from_before_get_what_became_of_them_under_the_mac(&engine).await;
        engine.close().await;
    }

    #[tokio::test]
    async fn postgresql_messages_from_before_are_brought_up_to_date_and_forged_ones_are_not() {
        let Some((engine, _, server, name)) = statements::postgres().await else { return };
        messages_from_before_get_what_became_of_them_under_the_mac(&engine).await;
        statements::drop_database(engine, &server, &name).await;
    }

    #[tokio::test]
    async fn sqlite_rows_from_before_are_brought_up_to_date_and_forged_ones_are_not() {
        let (_folder, engine, _) = statements::sqlite().await;
        people_from_before_get_their_history_number_under_the_mac(&engine).await;
        engine.close().await;
    }

    #[tokio::test]
    async fn postgresql_rows_from_before_are_brought_up_to_date_and_forged_ones_are_not() {
        let Some((engine, _, server, name)) = statements::postgres().await else { return };
        people_from_before_get_their_history_number_under_the_mac(&engine).await;
        statements::drop_database(engine, &server, &name).await;
    }
}
